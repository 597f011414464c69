"""Makes a parameter tree storable in YAML: only a value that YAML cannot hold becomes text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from expman.models import MAX_NESTING

__all__ = ["Check", "storable"]

MOST_NOTES = 20
_MOST_CHARACTERS = 10_000

Check = Callable[[object], int | None]
"""How many bytes a value takes in the file; None if the file cannot hold it."""


def storable(
    params: Mapping[str, object], check: Check, room_bytes: int
) -> tuple[dict[str, object], list[str]]:
    """Parameters that can be written and read, and a line for each that is not what it was.

    Args:
        params: by name.
        check: what a value costs in the file, if the file can hold it.
        room_bytes: as much as the file may grow by; what does not fit is left out.
    """
    tree = _Tree(check)
    kept: dict[str, object] = {}
    for name, value in params.items():
        plain = tree.mend(value, name, 0)
        size = check({name: plain})
        if size is None or size > room_bytes:
            why = "its name cannot be written" if size is None else "config.yaml is full"
            tree.note(f"parameter {name[:200]!r} was left out: {why}")
            continue
        room_bytes -= size
        kept[name] = plain
    return kept, tree.notes


class _Tree:
    def __init__(self, check: Check) -> None:
        self._check = check
        self.notes: list[str] = []

    def note(self, line: str) -> None:
        if len(self.notes) < MOST_NOTES:
            self.notes.append(line)
        elif len(self.notes) == MOST_NOTES:
            self.notes.append("more parameters could not be kept as they are")

    def mend(self, value: object, where: str, depth: int) -> object:
        """The value, with text in place of parts that the file cannot hold."""
        if depth < MAX_NESTING:
            if isinstance(value, Mapping):
                return dict(self._mend_all(list(value.items()), where, depth, dict))
            if isinstance(value, list | tuple):
                return self._mend_all(list(value), where, depth, list)
            if self._fits(value, depth):
                return value
        self.note(f"parameter {where}: {_type_name(value)} was kept as its text")
        text = _text_of(value)
        return text if self._check(text) is not None else f"<{_type_name(value)}>"

    def _fits(self, value: object, depth: int) -> bool:
        for _ in range(depth):  # how deep it lies counts, too
            value = [value]
        return self._check(value) is not None

    def _mend_all(
        self, items: list[Any], where: str, depth: int, kind: Callable[[list[Any]], object]
    ) -> list[Any]:
        """Looks for the bad ones by halves: most are good, and many are checked at once."""
        if not items or self._fits(kind(items), depth):
            return items
        if len(items) > 1:
            half = len(items) // 2
            return [
                *self._mend_all(items[:half], where, depth, kind),
                *self._mend_all(items[half:], where, depth, kind),
            ]
        if kind is list:
            return [self.mend(items[0], f"{where}[]", depth + 1)]
        key, value = items[0]
        if self._check({key: None}) is None:
            self.note(f"parameter {where}: a key ({_type_name(key)}) was kept as its text")
            key = _text_of(key)
        return [(key, self.mend(value, f"{where}.{key}", depth + 1))]


def _text_of(value: object) -> str:
    if isinstance(value, int):
        return hex(value)  # str() refuses more than 4,300 digits
    try:
        return repr(value)[:_MOST_CHARACTERS]
    except Exception as exc:  # noqa: BLE001 - whatever a value's text fails with
        return f"<{_type_name(value)}: {type(exc).__name__}>"


def _type_name(value: object) -> str:
    return type(value).__name__
