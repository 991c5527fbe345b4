"""From a file or mapping to checked settings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from recloser.config.host_files import TABLES, is_disabled, read_entry, says, valid_name
from recloser.config.mistakes import Place, Report, nearest, show
from recloser.config.reading import Document, read
from recloser.config.schema import ONLY_IN_CODE, ONLY_ONE_SERVER, OURS, check, plain
from recloser.config.servers import Layer, check_layer, make_record, make_server
from recloser.config.settings import Gateway, Settings, Telemetry
from recloser.config.values import Values
from recloser.options import Server
from recloser.redact import Redactor

__all__ = ["load"]

_OURS: Final = "recloser"
_OTHER_KEYS: Final = ("inputs", "$schema")


def load(source: str | Path | Mapping[str, Any], *, environ: Mapping[str, str] | None = None) -> Settings:
    """Return what a configuration says, checked.

    Args:
        source: a file, TOML if its name ends so and else JSON (also with comments), or a mapping with the same keys.
        environ: what `${NAME}` is looked up in; None means this process's environment.

    Raises:
        ConfigurationError: with every mistake in it, each with its place.
    """
    document = read(source)
    report = Report(None if document.file is None else str(document.file), document.lines)
    base = Path.cwd() if document.file is None else document.file.absolute().parent
    workspace = base.parent if base.name in (".vscode", ".cursor") else base
    values = Values(report, environ=os.environ if environ is None else environ, base=base, workspace=workspace)
    settings = _Loading(document, report, values).settings()
    secrets = frozenset(values.secrets)
    redact = Redactor(secret.get_secret_value() for secret in secrets).text
    report.close(redact)
    return replace(settings, source=document.file, secrets=secrets, notes=tuple(map(redact, report.notes)))


class _Loading:
    """One loading of one configuration; what changes are the report and the values, written by all that read."""

    def __init__(self, document: Document, report: Report, values: Values) -> None:
        self._data = document.data
        self._file = document.file
        self._twice = document.twice
        self._report = report
        self._values = values
        # The host of such a file starts its commands in the workspace folder; others start them anywhere.
        folder = None if self._file is None else self._file.absolute().parent.name
        self._left_out: set[str] = set()
        self._off = False
        """Whether servers are switched off where nothing else is said of them."""
        self._chaos_allowed: set[str] = set()
        self._in_workspace = folder in (".vscode", ".cursor") or (
            self._file is not None and self._file.name == ".mcp.json"
        )

    def settings(self) -> Settings:
        """Return the settings as far as they are right; what is wrong is in the report."""
        self._check_top()
        ours = self._ours()
        names = ours.get("names", "qualified")
        gateway = {"names": names} | ours.get("gateway", {})
        telemetry = ours.get("telemetry", {})
        if telemetry.get("audit") is not None:
            telemetry["audit"] = self._values.path(telemetry["audit"])
        if telemetry.get("audit_key") is not None:
            self._values.remember(telemetry["audit_key"])
            telemetry["audit_key"] = SecretStr(telemetry["audit_key"])
        cache = ours.get("cache")
        servers = tuple(self._servers(ours))
        return Settings(
            servers=servers,
            chaos_allowed=frozenset(self._chaos_allowed),
            gateway=make_record(Gateway, gateway, (_OURS, "gateway"), self._report) or Gateway(),
            telemetry=make_record(Telemetry, telemetry, (_OURS, "telemetry"), self._report) or Telemetry(),
            names=names,
            cache=None if cache is None else self._values.path(cache),
        )

    def _check_top(self) -> None:
        for place in self._twice:
            within = any(place[:end] in self._twice for end in range(1, len(place)))
            if place[0] in (*TABLES, _OURS) and not within:
                self._report.mistake(place, "the same key stands here twice, and only the last would count")
        known = (*TABLES, _OURS, *_OTHER_KEYS)
        for key in map(str, self._data):
            close = nearest(key, known, cutoff=0.85)
            if key in known:
                continue
            if close is not None:
                self._report.mistake((key,), "unknown key", f"did you mean {close!r}?")
            elif key in OURS.model_fields and self._file is not None and self._file.suffix == ".toml":
                self._report.mistake((key,), "unknown key", f"it belongs to {_OURS}.{key}")
            else:
                self._report.note(f"{show((key,))} has no meaning here; it is taken for the host's own")
        if not any(key in self._data for key in (*TABLES, _OURS)):
            self._report.mistake((), "expected mcpServers (Claude Desktop, Cursor), servers (VS Code) or recloser")

    def _ours(self) -> dict[str, Any]:
        """Return what stands under our own key, checked."""
        raw = self._data.get(_OURS, {})
        if isinstance(raw, Mapping):
            servers = raw.get("servers", {})
            rest = {key: value for key, value in raw.items() if key != "servers"}
            raw = self._values.expand(rest, (_OURS,))
            defaults = raw.get("defaults")
            self._off = isinstance(defaults, Mapping) and plain(defaults.get("enabled")) is False
            if isinstance(servers, Mapping):
                place = (_OURS, "servers")
                servers = {key: self._own(str(key), value, (*place, str(key))) for key, value in servers.items()}
            raw["servers"] = servers
        return check(OURS, raw, (_OURS,), self._report, _elsewhere)

    def _own(self, name: str, raw: Any, place: Place) -> Any:
        off = is_disabled(raw, place, self._values) or (
            self._off and says(raw, "enabled", place, self._values) is not True
        )
        expanded = self._values.expand(raw, place, lenient=off)
        if off and self._values.is_broken(expanded):
            self._left_out.add(name)
            return {"enabled": False}
        return expanded

    def _servers(self, ours: dict[str, Any]) -> Iterator[Server]:
        defaults = Layer((_OURS, "defaults"), ours.get("defaults", {}))
        check_layer(defaults, self._report)  # also where there is no server that they could be part of
        own: dict[str, Any] = dict(ours.get("servers", {}))
        # In code `chaos` holds policies; a file says only that there may be some.
        self._chaos_allowed = {valid_name(key) for key, said in own.items() if said.pop("chaos", False)}
        hosted: dict[str, str] = {}
        for table, said, raw in self._hosted():
            name = valid_name(said)
            if name in hosted:
                self._report.mistake((table, said), f"there is another server of this name: {hosted[name]!r}")
                continue
            hosted[name] = said
            if name != said:
                self._report.note(f"server {said!r} is called {name!r} here, since tools are named by their server")
            mine = next((key for key in (said, name) if key in own), said)
            layer = Layer((_OURS, "servers", mine), own.pop(mine, {}))
            yield from self._hosted_server(name, (table, said), raw, defaults, layer)
        for key, said_own in own.items():
            yield from self._own_server(key, defaults, said_own, hosted)

    def _hosted(self) -> Iterator[tuple[str, str, Any]]:
        """Yield the entries of hosts' tables."""
        for table in TABLES:
            entries = self._data.get(table, {})
            if not isinstance(entries, Mapping):
                self._report.mistake((table,), "expected a table of servers")
                continue
            for said, raw in entries.items():
                yield table, str(said), raw

    def _hosted_server(
        self, name: str, place: tuple[str, str], raw: Any, defaults: Layer, own: Layer
    ) -> Iterator[Server]:
        # By the host's word or our defaults, unless our own table for the server says otherwise.
        off = self._off or is_disabled(raw, place, self._values)
        if "enabled" in own.said:
            off = not own.said["enabled"]
        entry = read_entry(raw, place, self._report, self._values, in_workspace=self._in_workspace, off=off)
        if entry is None:
            return
        made = make_server(name, (defaults, Layer(place, entry), own), self._report, self._values)
        if made is not None:
            yield made

    def _own_server(self, name: str, defaults: Layer, said: dict[str, Any], hosted: dict[str, str]) -> Iterator[Server]:
        place = (_OURS, "servers", name)
        if name in self._left_out:
            self._report.note(f"server {name!r} is switched off and left out")
        elif {"url", "command"} & (set(said) | self._report.wrong_below(place)):
            made = make_server(name, (defaults, Layer(place, said)), self._report, self._values)
            if made is not None:
                yield made
        else:
            close = nearest(name, hosted.values())
            hint = f"did you mean {close!r}?" if close else None
            self._report.mistake(place, "expected url or command, or the name of a server of mcpServers", hint)


def _elsewhere(loc: tuple[int | str, ...]) -> str | None:
    """Return where a key belongs that is unknown in our part of a file."""
    key = str(loc[-1])
    if len(loc) == 2 and loc[0] == "defaults" and key in ONLY_ONE_SERVER | {"chaos"}:
        return f"it belongs to one server: recloser.servers.<name>.{key}"
    if loc[0] in ("defaults", "servers") and len(loc) <= 3 and key in ONLY_IN_CODE:
        return "it can be given in code only"
    return None
