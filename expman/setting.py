"""What a setting is: its default, and how its argument and its variable are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from expman import checks

__all__ = [
    "IntDefault",
    "Setting",
    "TextDefault",
    "TupleDefault",
    "read_flag",
    "read_list",
    "read_number",
]


class IntDefault(int):
    """A default that differs, by its type, from the same number given by the user."""


class TextDefault(str):
    """A default that differs, by its type, from the same text given by the user."""

    __slots__ = ()


class TupleDefault(tuple[str, ...]):
    """A default that differs, by its type, from an empty tuple given by the user."""

    __slots__ = ()


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting.

    Attributes:
        name: of the argument.
        type: as the reference shows it.
        default: what counts if neither argument nor variable is there; None: see `meaning`.
        check: takes a label and a value; returns the plain value or raises ConfigError.
        read: makes a value of the variable's text.
        variable: the environment variable, if there is one.
        meaning, recorded: for the reference; where a run's files keep it, "" if they do not.
        place: position among the arguments of `init`, as in expman-rs; None: by name only.
        late: the variable is read when a writer is started, and not when the settings are made.
    """

    name: str
    type: str
    default: Any = None
    check: Callable[[str, object], Any] = checks.check_text
    read: Callable[[str], object] = str
    variable: str | None = None
    meaning: str
    recorded: str = ""
    place: int | None = None
    late: bool = False


def read_number(text: str) -> object:
    """The whole number that a variable holds, or its text for the error."""
    try:
        return int(text)
    except ValueError:
        return text


def read_flag(text: str) -> object:
    """The boolean that a variable holds, or its text for the error."""
    word = text.strip().lower()
    return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}.get(
        word, text
    )


def read_list(text: str) -> tuple[str, ...]:
    """The words that a variable holds, with commas between them."""
    return tuple(tag.strip() for tag in text.split(",") if tag.strip())
