"""References in values (`${NAME}`, `${NAME:-default}`, `${file:…}`), and what of it is secret."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import SecretStr

from recloser.config.mistakes import DEEPEST, Place, Report, nearest, show
from recloser.redact import is_secret_setting, secret_forms, secrets_of_arguments, secrets_of_named, secrets_of_url

__all__ = ["Broken", "Referenced", "Values"]


class Referenced(str):
    """A text that came, in part at least, from a reference; it may stand for a number or a yes or no."""

    __slots__ = ()


class Broken(Referenced):
    """A text with a reference that leads nowhere: the mistake is noted, and no other is to be made of it."""

    __slots__ = ()


_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KIND: Final = re.compile(
    r"(?P<kind>[A-Za-z]+):(?P<what>(?:(?<=env:)|(?<=file:)|(?<=input:)|(?=[A-Za-z_])).+)", re.DOTALL
)
_KINDS: Final = ("env", "file", "input")
_LARGEST_FILE: Final = 64 * 1024
_URL_KEYS: Final = frozenset({"url", "httpUrl", "serverUrl", "otlp_endpoint"})
# Handed on in `env` often; to hide a home directory or a language wherever it stands would mangle every text.
_ORDINARY: Final = frozenset(
    {"DISPLAY", "HOME", "LANG", "LC_ALL", "LOGNAME", "NODE_ENV", "PATH", "PWD", "SHELL", "TERM", "TMPDIR", "TZ", "USER"}
)
_ENV_LINE: Final = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)\s*=\s*(?P<value>.*)")


class Values:
    """Gives references their values and remembers the secrets among them.

    Written while one configuration is read, by its own methods alone; `secrets` is read at the end.
    """

    def __init__(self, report: Report, *, environ: Mapping[str, str], base: Path, workspace: Path) -> None:
        self._report = report
        self._environ = environ
        self._base = base
        self._workspace = workspace
        # VS Code's and Cursor's own names. They come before the environment's, as in those hosts.
        self._predefined = {
            "workspaceFolder": str(workspace),
            "workspaceFolderBasename": workspace.name,
            "userHome": str(_path("~")),
            "cwd": str(workspace),
            "pathSeparator": os.sep,
            "/": os.sep,
        }
        self._within = 0
        """How many defaults that are being expanded stand within each other."""
        self.secrets: set[SecretStr] = set()
        """Every value so far that must never be shown."""

    def expand(self, value: Any, place: Place, *, lenient: bool = False, secret: bool = False) -> Any:
        """Return a value with all its references, at any depth, replaced; where that cannot be, a mistake is noted.

        Args:
            value: texts, tables, lists and scalars.
            place: where it stands.
            lenient: whether what is missing is a note only, since the server is switched off.
            secret: whether it stands in headers or in the environment, where what is referred to is secret.
        """
        if isinstance(value, str):
            return self._expand_text(value, place, lenient=lenient, secret=secret)
        if isinstance(value, Mapping):
            return {
                key: self.expand(item, (*place, str(key)), lenient=lenient, secret=secret or key in ("headers", "env"))
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            items = tuple(
                self.expand(item, (*place, index), lenient=lenient, secret=secret) for index, item in enumerate(value)
            )
            # A broken reference holds nothing, and its mistake shows it.
            plain = [item if isinstance(item, str) and not isinstance(item, Broken) else "" for item in items]
            self.secrets.update(map(SecretStr, secrets_of_arguments(plain)))
            return items
        return value

    @staticmethod
    def is_broken(value: Any) -> bool:
        """Return whether a reference in an expanded value, at any depth, leads nowhere."""
        if isinstance(value, dict | tuple):
            return any(map(Values.is_broken, value.values() if isinstance(value, dict) else value))
        return isinstance(value, Broken)

    def remember(self, value: str) -> None:
        """Remember a text as a secret, and what follows `Bearer` and its like in it."""
        self.secrets.update(map(SecretStr, secret_forms(value)))

    def variables(self, name: str, place: Place, *, lenient: bool = False) -> dict[str, str]:
        """Return the variables of a host's `envFile`; if it cannot be read, a mistake is noted."""
        text = self._file(name, self._workspace)
        if isinstance(text, OSError | ValueError):
            self._missing(place, f"expected a file of variables, but {_why(text)}", None, lenient=lenient)
            return {}
        found = dict(_env_lines(text))
        self.secrets.update(map(SecretStr, secrets_of_named(found)))
        return found

    def path(self, name: str) -> Path:
        """Return a path of the configuration as an absolute one: relative to its file, `~` is the home directory."""
        return self._base / _path(name)

    def directory(self, name: str) -> str:
        """Return a server's working directory as an absolute path: relative to the workspace."""
        return str(self._workspace / _path(name))

    def _expand_text(self, text: str, place: Place, *, lenient: bool, secret: bool) -> str:
        key = next((part for part in reversed(place) if isinstance(part, str)), "")
        parts: list[str] = []
        referenced = broken = False
        for kind, part in _parts(text):
            if kind == "text":
                parts.append(part)
                continue
            referenced = True
            if kind == "open":
                self._missing(place, "expected a } that closes ${", "write $${ for the text itself", lenient=lenient)
                broken = True
                parts.append(part)
                continue
            value = self._value(part, place, lenient=lenient, secret=secret)
            broken = broken or value is None
            parts.append(f"${{{part}}}" if value is None else value)
        whole = "".join(parts)
        if broken:
            return Broken(whole)
        if key in _URL_KEYS:
            self.secrets.update(map(SecretStr, secrets_of_url(whole)))
        self.secrets.update(map(SecretStr, secrets_of_named({key: whole})))
        return Referenced(whole) if referenced else whole

    def _value(self, expression: str, place: Place, *, lenient: bool, secret: bool) -> str | None:
        """Return what a reference stands for; None if that is not known, which is then noted."""
        body, has_default, default = expression.partition(":-")
        if body in self._predefined:
            return self._predefined[body]
        if _NAME.fullmatch(body):
            kind, what = "env", body
        elif found := _KIND.fullmatch(body):
            kind, what = found["kind"], found["what"]
        else:
            return f"${{{expression}}}"  # A shell's own, such as ${1} or ${x%%y}: no reference of ours.
        if kind == "file":
            return self._from_file(what, place, default if has_default else None, lenient=lenient)
        name = _input_variable(what) if kind == "input" else what
        value = self._environ.get(name) if kind in ("env", "input") else None
        if value or (value is not None and not has_default):
            if kind == "input" or is_secret_setting(name) or (secret and name not in _ORDINARY):
                self.remember(value)
            return value
        if has_default and kind in _KINDS:
            return self._default(default, place, lenient=lenient, secret=secret)
        self._unknown(kind, what, place, lenient=lenient)
        return None

    def _default(self, text: str, place: Place, *, lenient: bool, secret: bool) -> str | None:
        """Return what a reference's default stands for; None if it is nested too deeply, which is then noted."""
        if self._within == DEEPEST:
            message = f"references are nested too deeply: {DEEPEST} within each other are the most"
            self._missing(place, message, None, lenient=lenient)
            return None
        self._within += 1
        try:
            return self._expand_text(text, place, lenient=lenient, secret=secret)
        finally:
            self._within -= 1

    def _unknown(self, kind: str, what: str, place: Place, *, lenient: bool) -> None:
        if kind == "env":
            close = nearest(what, self._environ, cutoff=0.8)
            hint = f"did you mean {close}?" if close else f"set it, or write ${{{what}:-…}} to give a default"
            self._missing(place, f"expected the environment variable {what}, which is not set", hint, lenient=lenient)
        elif kind == "input":
            hint = f"set the environment variable {_input_variable(what)}"
            self._missing(place, f"${{input:{what}}} cannot be asked for here", hint, lenient=lenient)
        else:
            close = nearest(kind, _KINDS)
            hint = f"did you mean ${{{close}:{what}}}?" if close else "write $${ for the text itself"
            expected = "expected ${NAME}, ${env:NAME}, ${file:PATH} or ${input:ID}"
            self._missing(place, f"{expected}, found ${{{kind}:…}}", hint, lenient=lenient)

    def _from_file(self, name: str, place: Place, default: str | None, *, lenient: bool) -> str | None:
        text = self._file(name, self._base)
        if isinstance(text, OSError | ValueError):
            if default is not None:
                return self._default(default, place, lenient=lenient, secret=True)
            self._missing(place, f"expected a secret in a file, but {_why(text)}", None, lenient=lenient)
            return None
        value = text.rstrip("\r\n")
        self.remember(value)
        return value

    def _file(self, name: str, base: Path) -> str | OSError | ValueError:
        try:
            with (base / _path(name)).open("rb") as file:
                data = file.read(_LARGEST_FILE + 1)
            if len(data) > _LARGEST_FILE:
                return ValueError(f"{name} is larger than {_LARGEST_FILE} bytes")
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            return ValueError(f"{name} is not in UTF-8")
        except OSError as error:
            return error
        except ValueError:
            return ValueError(f"{name!r} is no name of a file")

    def _missing(self, place: Place, message: str, hint: str | None, *, lenient: bool) -> None:
        if lenient:
            self._report.note(f"{show(place)}: {message}")
        else:
            self._report.mistake(place, message, hint)


def _why(error: OSError | ValueError) -> str:
    return f"{error.filename} cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)


def _path(name: str) -> Path:
    """Return a path, its leading `~` replaced; where there is no home directory, it stays."""
    # Not Path.expanduser, which raises where there is none.
    return Path(os.path.expanduser(name) if name == "~" or name.startswith("~/") else name)  # noqa: PTH111 - see above


def _input_variable(name: str) -> str:
    return "RECLOSER_INPUT_" + re.sub(r"[^A-Z0-9]", "_", name.upper())


def _parts(text: str) -> Iterator[tuple[Literal["text", "reference", "open"], str]]:
    """Yield a text's parts: plain ones, insides of references, one that is not closed; `$${` is a plain `${`."""
    at = 0
    while (start := text.find("${", at)) >= 0:
        if start > at and text[start - 1] == "$":
            yield "text", text[at : start - 1] + "${"
            at = start + 2
            continue
        end = _closing(text, start + 2)
        if end < 0:
            yield "open", text[start:]
            return
        yield "text", text[at:start]
        yield "reference", text[start + 2 : end]
        at = end + 1
    yield "text", text[at:]


def _closing(text: str, at: int) -> int:
    """Return where the brace closes that was opened just before `at`, or -1."""
    depth = 1
    for index in range(at, len(text)):
        if text.startswith("${", index):
            depth += 1
        elif text[index] == "}":
            depth -= 1
            if depth == 0:
                return index
    return -1


def _env_lines(text: str) -> Iterator[tuple[str, str]]:
    """Yield the variables of a file with lines like `NAME=value`; quotes, `export` and comments as usual there."""
    for line in text.splitlines():
        found = _ENV_LINE.fullmatch(line.strip())
        if found is None:
            continue
        value = found["value"]
        if value[:1] in ("'", '"') and (end := value.find(value[0], 1)) > 0:
            inner = value[1:end]
            yield found["name"], inner.replace("\\n", "\n") if value[0] == '"' else inner
        else:
            yield found["name"], value.partition(" #")[0].rstrip()
