"""The files that hosts have already: Claude Desktop's and Cursor's `mcpServers`, VS Code's `servers`, and their kin."""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator

from recloser.config.mistakes import Place, Report, nearest
from recloser.config.schema import STRICT, Flag, check, file_fields, plain
from recloser.config.values import Values
from recloser.options import Server

__all__ = ["IGNORED", "NOT_DONE", "TABLES", "HostEntry", "is_disabled", "read_entry", "says", "valid_name"]

TABLES: Final = ("mcpServers", "servers")
"""The tables in which hosts keep their servers."""


def _as_text(value: object) -> object:
    """VS Code allows numbers among variables; others write yes and no."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


class HostEntry(BaseModel):
    """What is understood of a host's entry for one server, in any host's words."""

    model_config = STRICT

    command: str | None = None
    """The program to start."""
    args: Sequence[str] = ()
    """Its arguments."""
    env: Mapping[str, Annotated[str | None, BeforeValidator(_as_text)]] | None = None
    """Its environment variables; `null` leaves one out."""
    envFile: str | None = None  # noqa: N815 - the host's word
    """A file of further variables, `NAME=value` a line; `env` comes first. Relative to the workspace folder."""
    cwd: str | None = None
    """Its working directory. Relative to the workspace folder."""
    type: str | None = None
    """`stdio`, `http` (or `streamable-http`, `streamableHttp`) or `sse`; may be left out."""
    transport: str | None = None
    """Another word for `type`."""
    url: str | None = None
    """The address of a server that is reached over HTTP."""
    serverUrl: str | None = None  # noqa: N815 - the host's word
    """Another word for `url` (Windsurf)."""
    httpUrl: str | None = None  # noqa: N815 - the host's word
    """Another word for `url`, never SSE (Gemini CLI)."""
    headers: Mapping[str, str] | None = None
    """Headers of every HTTP request."""
    disabled: Flag = False
    """Whether the server is switched off."""
    enabled: Flag = True
    """The opposite of `disabled`."""
    includeTools: Sequence[str] = ()  # noqa: N815 - the host's word
    """The only tools to show, by name (Gemini CLI)."""
    excludeTools: Sequence[str] = ()  # noqa: N815 - the host's word
    """Tools to hide, by name (Gemini CLI)."""
    disabledTools: Sequence[str] = ()  # noqa: N815 - the host's word
    """Another word for `excludeTools` (Roo Code, Windsurf, Kiro)."""
    tools: Sequence[str] = ()
    """Another word for `includeTools`; `*` for all (GitHub Copilot)."""


IGNORED: Final[Mapping[str, str]] = {
    "$schema": "all",
    "alwaysAllow": "Cline, Roo Code",
    "autoApprove": "Cline, Kiro",
    "chatMenu": "LibreChat",
    "connectionTimeout": "Continue",
    "description": "Gemini CLI and others",
    "dev": "VS Code",
    "displayName": "several",
    "extensionName": "Gemini CLI",
    "gallery": "VS Code",
    "icon": "several",
    "iconPath": "LibreChat",
    "id": "several",
    "initTimeout": "LibreChat",
    "isActive": "Cherry Studio",
    "location": "VS Code",
    "manifest": "VS Code",
    "metadata": "VS Code",
    "name": "several",
    "networkTimeout": "Cline",
    "remoteConfigured": "Cline",
    "serverInstructions": "LibreChat",
    "startup": "LibreChat",
    "timeout": "several; in seconds for some and in milliseconds for others, so use timeouts",
    "trust": "Gemini CLI",
    "version": "VS Code",
    "watchPaths": "Roo Code",
}
"""Keys of hosts' entries that have no meaning here, each with who knows it."""

NOT_DONE: Final[Mapping[str, str]] = {
    "auth": "Cursor",
    "authProviderType": "Gemini CLI",
    "headersHelper": "Claude Code",
    "oauth": "VS Code, Claude Code, Gemini CLI",
    "sandbox": "VS Code",
    "sandboxEnabled": "VS Code",
    "targetAudience": "Gemini CLI",
    "targetServiceAccount": "Gemini CLI",
}
"""Keys of hosts' entries that ask for something which is not done here: each becomes a note."""

_TYPES: Final[Mapping[str, str]] = {
    "stdio": "stdio",
    "local": "stdio",
    "http": "http",
    "streamable-http": "http",
    "streamablehttp": "http",
    "streamable_http": "http",
    "remote": "http",
    "sse": "sse",
}
_ELSEWHERE: Final = {
    name: f"it belongs to recloser.servers.<name>.{name}"
    for name in (*(field.name for field in file_fields(Server)), "chaos")
    if name not in HostEntry.model_fields
}
_ILLEGAL: Final = re.compile(r"[^A-Za-z0-9-]+")


def valid_name(name: str) -> str:
    """Return a name for a server whose host allows names that are none here.

    What is changed gets a hash of the whole name at its end, always: so it depends on no other server, and adding or
    removing one renames nothing.
    """
    try:
        return Server(name, command="-").name
    except ValueError:
        slug = _ILLEGAL.sub("-", name).strip("-") or "server"
        return f"{slug}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:6]}"


def is_disabled(raw: object, place: Place, values: Values) -> bool:
    """Return whether an entry says, in any host's words, that its server is switched off."""
    return says(raw, "disabled", place, values) is True or says(raw, "enabled", place, values) is False


def says(raw: object, key: str, place: Place, values: Values) -> object:
    """Return what a table that is not expanded yet says for a yes or no; None if nothing, and a note if nothing known.

    It decides whether other references must lead somewhere, so it comes before them.
    """
    return plain(values.expand(raw.get(key), (*place, key), lenient=True)) if isinstance(raw, Mapping) else None


def read_entry(
    raw: Any, place: Place, report: Report, values: Values, *, in_workspace: bool, off: bool
) -> dict[str, Any] | None:
    """Return a host's entry as fields of `Server`; mistakes are noted.

    Args:
        raw: the entry.
        place: where it stands.
        report: takes the mistakes.
        values: resolves references.
        in_workspace: whether the file belongs to a workspace, in which its host starts commands.
        off: whether the server is switched off; it is left out, and None returned, if a reference leads nowhere.
    """
    if isinstance(raw, Mapping):
        _note_what_is_not_done(raw, place, report)
        raw = {key: value for key, value in raw.items() if key not in IGNORED and key not in NOT_DONE}
        raw = values.expand(raw, place, lenient=off)
        if off and values.is_broken(raw):
            report.note(f"server {place[-1]!r} is switched off and left out")
            return None
    said = check(HostEntry, raw, place, report, lambda loc: _ELSEWHERE.get(str(loc[0])))
    if not isinstance(raw, Mapping):
        return None
    entry = HostEntry.model_validate(said)
    found: dict[str, Any] = {key: said[key] for key in ("command", "args", "headers") if said.get(key) is not None}
    if url := entry.url or entry.serverUrl or entry.httpUrl:
        found["url"] = url
    found |= _transport(entry, place, report)
    if entry.env is not None or entry.envFile is not None:
        found["env"] = _variables(entry, place, values, lenient=off)
    if entry.command is not None and (entry.cwd is not None or in_workspace):
        found["cwd"] = values.directory(entry.cwd or ".")
    if entry.disabled or not entry.enabled:
        found["enabled"] = False
    include = [name for name in (*entry.includeTools, *entry.tools) if name != "*"]
    exclude = (*entry.excludeTools, *entry.disabledTools)
    # Names, where ours are patterns.
    found |= {
        key: [glob.escape(name) for name in names]
        for key, names in (("include", include), ("exclude", exclude))
        if names
    }
    return found


def _note_what_is_not_done(raw: Mapping[str, Any], place: Place, report: Report) -> None:
    """Note what an entry asks for that is not done here."""
    for key in NOT_DONE:
        if raw.get(key):
            report.note(f"{place[-1]}: {key} is a matter of {NOT_DONE[key]} and is not done here")


def _transport(entry: HostEntry, place: Place, report: Report) -> dict[str, str]:
    key, word = ("type", entry.type) if entry.type is not None else ("transport", entry.transport)
    if word is None:
        return {"transport": "http"} if entry.httpUrl is not None and entry.url is None else {}
    found = _TYPES.get(word.lower())
    if found is None and key in report.wrong_below(place):
        return {}
    if found is None:
        close = nearest(word, _TYPES)
        expected = "expected 'stdio', 'http', 'streamable-http' or 'sse'"
        report.mistake((*place, key), f"{expected}, found another word", f"did you mean {close!r}?" if close else None)
        return {}
    # VS Code's `http` falls back to SSE, so such an address is one that works there.
    if found == "http" and entry.url is not None and entry.url.split("?")[0].endswith("/sse"):
        return {}
    return {"transport": found}


def _variables(entry: HostEntry, place: Place, values: Values, *, lenient: bool) -> dict[str, str]:
    found: dict[str, str] = {}
    if entry.envFile is not None:
        found |= values.variables(entry.envFile, (*place, "envFile"), lenient=lenient)
    for key, value in (entry.env or {}).items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = value
    return found
