"""The scenarios that come with the package."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final

from recloser.config import ConfigurationError, Mistake
from recloser.config.mistakes import nearest
from recloser.testing.scenario.rules import OPEN_SCENARIOS

__all__ = ["find_scenario", "shipped"]

_PLACE: Final = "shipped"


def shipped() -> Mapping[str, Path]:
    """Return the files of all scenarios by name, in the order of the alphabet."""
    place = Path(str(files("recloser.testing.scenario") / _PLACE))
    return {path.stem: path for path in sorted(place.glob("*.toml"))}


def find_scenario(word: str) -> Path:
    """Return the file that a word means: a file itself, or the name of a scenario that comes with the package.

    Raises:
        ConfigurationError: it is neither, or a scenario that cannot be run yet.
    """
    known = shipped()
    if word.endswith(".toml") or Path(word).is_file():
        return Path(word)
    if word in known:
        return known[word]
    if word in OPEN_SCENARIOS:
        raise ConfigurationError([Mistake(file=None, path=word, message=OPEN_SCENARIOS[word])])
    close = nearest(word, known)
    hint = f"did you mean {close!r}?" if close else "recloser chaos list shows those that there are"
    raise ConfigurationError([Mistake(file=None, path=word, message="there is no scenario of this name", hint=hint)])
