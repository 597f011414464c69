"""Shows an object of the user's in a message, whatever that object does."""

from __future__ import annotations

__all__ = ["shown", "type_name"]

_SHOWN_CHARS = 400
_name_of = type.__dict__["__name__"].__get__  # asks no metaclass


def shown(value: object) -> str:
    """The repr() of any object for a message: short, and never an error of its own."""
    try:
        text = str.__str__(repr(value))
    except Exception as exc:  # noqa: BLE001 - a foreign __repr__ may raise anything
        return f"<{type_name(value)}: repr() failed with {type(exc).__name__}>"
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}… ({len(text)} characters)"


def type_name(value: object) -> str:
    """The name of an object's type, with its module unless that is builtins."""
    kind = type(value)
    name: str = _name_of(kind)
    try:
        module = str(kind.__module__)
    except Exception:  # noqa: BLE001 - a metaclass may refuse
        return name
    return name if module == "builtins" else f"{module}.{name}"
