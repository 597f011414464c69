"""Comparison of values, and texts for them that differ exactly if the values do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from expman.reading.formats import format_number

__all__ = ["ABSENT", "differ", "distinct"]

_BEFORE = 12
_WINDOW = 60


class _Absent:
    def __repr__(self) -> str:
        return "–"


ABSENT: object = _Absent()
"""Stands for a value that was not logged, because None is a value."""


def differ(values: Sequence[object]) -> bool:
    """Returns whether values differ, by type, too: 1, 1.0, True and "1" do. NaN equals NaN."""
    return len(set(map(_exact, values))) > 1


def distinct(values: Sequence[object]) -> list[str]:
    """Returns a short text for each value; two values that differ have different texts.

    Where four digits or the beginning of a text do not show the difference, the texts are exact;
    long ones begin shortly before the first difference.
    """
    shown = [_short(value) for value in values]
    exact = [_exact(value) for value in values]
    before: list[str] = []
    while shown != before:
        before = list(shown)
        for group in _alike(shown):
            if len({exact[n] for n in group}) > 1:
                for n, text in zip(group, _longer(group, values, exact), strict=True):
                    shown[n] = text
    still_alike = any(len({exact[n] for n in group}) > 1 for group in _alike(shown))
    return exact if still_alike else shown


def _longer(group: Sequence[int], values: Sequence[object], exact: Sequence[str]) -> list[str]:
    """Texts for values that looked alike: as few digits as make floats differ, else exact ones."""
    floats = [value for n in group if isinstance(value := values[n], float)]
    if len(floats) == len(group):
        different = len({exact[n] for n in group})
        for digits in range(5, 17):
            texts = [f"{value:.{digits}g}" for value in floats]
            if len(set(texts)) == different:
                return texts
    difference = _first_difference([exact[n] for n in group])
    return [_window(exact[n], max(0, difference - _BEFORE)) for n in group]


def _alike(texts: Sequence[str]) -> list[list[int]]:
    """Groups the places of equal texts."""
    places: dict[str, list[int]] = {}
    for n, text in enumerate(texts):
        places.setdefault(text, []).append(n)
    return list(places.values())


def _short(value: object) -> str:
    return "null" if value is None else repr(value) if value is ABSENT else format_number(value)


def _exact(value: object) -> str:
    """Returns a text that only equal values of one type have."""
    match value:
        case Mapping():
            items = sorted(f"{key!r}: {_exact(item)}" for key, item in value.items())
            return f"{{{', '.join(items)}}}"
        case list() | tuple():
            return f"[{', '.join(map(_exact, value))}]"
    return repr(value)


def _first_difference(texts: Sequence[str]) -> int:
    first, last = min(texts), max(texts)
    pairs = enumerate(zip(first, last, strict=False))
    return next((n for n, (one, other) in pairs if one != other), len(first))


def _window(text: str, start: int) -> str:
    end = start + _WINDOW
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"
