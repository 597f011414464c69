"""Texts for messages: an object of the user's, whatever that does, and a number with its noun."""

from __future__ import annotations

__all__ = ["count_of", "shown", "type_name"]

_SHOWN_CHARS = 400
_name_of = type.__dict__["__name__"].__get__  # asks no metaclass


def shown(value: object) -> str:
    """The repr() of any object for a message: short, and never an error of its own."""
    try:
        text = str.__str__(repr(value))
    except Exception as exc:  # noqa: BLE001 - a foreign __repr__ may raise anything
        return f"<{type_name(value)}: repr() failed with {type(exc).__name__}>"
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}… ({len(text)} characters)"


def count_of(number: int, noun: str, nouns: str = "") -> str:
    """A number with its noun: "1 row", "2 rows".

    Args:
        number: how many.
        noun: what one is called.
        nouns: what several are called, if that is not the noun with an s.
    """
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def type_name(value: object) -> str:
    """The name of an object's type, with its module unless that is builtins."""
    kind = type(value)
    name: str = _name_of(kind)
    try:
        module = str(kind.__module__)
    except Exception:  # noqa: BLE001 - a metaclass may refuse
        return name
    return name if module == "builtins" else f"{module}.{name}"
