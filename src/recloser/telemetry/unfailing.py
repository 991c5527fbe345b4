"""structlog's loggers with calls that cannot fail: whoever logs goes on, whatever is wrong with what is logged."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, cast

from structlog.typing import FilteringBoundLogger

__all__ = ["unfailing"]

_LEVELS: Final[Mapping[int, str]] = {
    getattr(logging, name.upper()): name for name in ("debug", "info", "warning", "error", "critical")
}
_BY_LEVEL: Final = frozenset({"log", "alog"})
_OTHER_NAMES: Final[Mapping[str, str]] = {"warn": "warning", "fatal": "critical", "exception": "error", "msg": "info"}
_ARGUMENTS: Final = frozenset({"self", "method_name", "event"})
"""Names that structlog's own methods have for their arguments, so that no field can have them."""


def unfailing(kind: type[FilteringBoundLogger]) -> type[FilteringBoundLogger]:
    """Return a kind of logger that is like this one, but that tells what it can of a call that makes no sense."""
    asks = ("is_enabled_for", "get_effective_level")
    methods = {name: each for name, each in vars(kind).items() if inspect.isfunction(each) and name not in asks}
    guarded = {name: _guarded(name, each) for name, each in methods.items()}
    return cast("type[FilteringBoundLogger]", type(kind.__name__, (kind,), guarded))


def _guarded(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(method):

        async def later(self: Any, /, *args: Any, **fields: Any) -> None:
            try:
                await method(self, *_settled(name, args), **fields)
            except Exception:  # noqa: BLE001 - boundary: a log call must not fail, whatever it is given
                _tell(self, name, args, fields)

        return later

    def now(self: Any, /, *args: Any, **fields: Any) -> None:
        try:
            method(self, *_settled(name, args), **fields)
        except Exception:  # noqa: BLE001 - boundary: as above
            _tell(self, name, args, fields)

    return now


def _settled(name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the arguments with a level that structlog has a name for."""
    return (_nearest(args[0]), *args[1:]) if name in _BY_LEVEL else args


def _nearest(level: int) -> int:
    """Return the next level with a name that matters no more than this one."""
    return max((each for each in _LEVELS if each <= level), default=level)


def _tell(logger: Any, name: str, args: tuple[Any, ...], fields: Mapping[str, Any]) -> None:
    """Tell of a call by its message alone, as it says where it comes from; its arguments do not go with it."""
    with suppress(Exception):
        plain = name.removeprefix("a")  # which the name of one that is awaited begins with
        if name in _BY_LEVEL:
            level = args[0] if args else None
            plain = _LEVELS.get(_nearest(level), "debug") if isinstance(level, int) else "warning"
            args = args[1:]
        plain = _OTHER_NAMES.get(plain, plain)
        if logger.is_enabled_for(getattr(logging, plain.upper())):
            rest = {key: value for key, value in fields.items() if key not in _ARGUMENTS}
            logger._proxy_to_logger(plain, args[0] if args else "", **rest)  # noqa: SLF001 - what subclasses call
