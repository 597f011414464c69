"""Whether values are the same, and texts for them that differ where they do."""

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
"""In place of a value that was not logged; None is a value."""


def differ(values: Sequence[object]) -> bool:
    """Whether values differ, in kind, too: 1, 1.0, True and "1" do. NaN is the same as NaN."""
    return len(set(map(_exact, values))) > 1


def distinct(values: Sequence[object]) -> list[str]:
    """A short text for each value; two that differ have different texts.

    Where four digits or the beginning of a text are the same, the texts are exact, and begin
    shortly before the first difference if they are long.
    """
    shown = [_short(value) for value in values]
    exact = [_exact(value) for value in values]
    for _ in values:
        for group in _alike(shown):
            if len({exact[n] for n in group}) > 1:
                difference = _first_difference([exact[n] for n in group])
                for n in group:
                    shown[n] = _window(exact[n], max(0, difference - _BEFORE))
    still_alike = any(len({exact[n] for n in group}) > 1 for group in _alike(shown))
    return exact if still_alike else shown


def _alike(texts: Sequence[str]) -> list[list[int]]:
    """The places of each text."""
    places: dict[str, list[int]] = {}
    for n, text in enumerate(texts):
        places.setdefault(text, []).append(n)
    return list(places.values())


def _short(value: object) -> str:
    return "null" if value is None else repr(value) if value is ABSENT else format_number(value)


def _exact(value: object) -> str:
    """A text that only equal values of one kind have."""
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
