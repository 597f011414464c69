"""Rows of several sets of names in turn, such as train, val, train, val.

A block per stretch of equal names would have a row or two, and cost ten times as much as its rows.
So rows that alternate become one block with the names of all of them, in log order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter, ne

import msgspec

from expman.models import MetricValue
from expman.transport import records as wire

__all__ = ["Mixed", "mix", "parts_in_turn"]

LEAST_ROWS = 8
SHORT = 8
"""Stretches of equal names that have fewer rows on the average are put together."""
MAX_NAMES = 64
MAX_CELLS = 256 * 1024
"""Of a block: cells without a value are kept in memory, too."""

_get_step, _get_time = attrgetter("step"), attrgetter("logged_at_ns")
_get_values, _get_schema = attrgetter("values"), attrgetter("schema")
_Column = list[MetricValue | None]
_Schemas = Mapping[int, tuple[str, ...]]


class Mixed(msgspec.Struct, frozen=True):
    """Rows of several sets of names, column by column.

    Attributes:
        steps: the user's steps.
        times: nanoseconds since the epoch.
        keys: the names of all rows.
        columns: per name a value for each row; None where the row has none.
    """

    steps: list[int | None]
    times: list[int]
    keys: tuple[str, ...]
    columns: list[list[MetricValue | None]]


def parts_in_turn(
    rows: Sequence[wire.Vector], schemas: _Schemas
) -> Iterator[Sequence[wire.Vector]]:
    """The rows, in pieces that are small enough for `mix`."""
    names = sum(len(schemas.get(number, ())) for number in set(map(_get_schema, rows)))
    size = max(LEAST_ROWS, MAX_CELLS // max(names, 1))
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def mix(rows: Sequence[wire.Vector], schemas: _Schemas) -> Mixed | None:
    """Puts rows together; None if they hardly alternate, have many names, or are damaged."""
    numbers = list(map(_get_schema, rows))
    changes = sum(map(ne, numbers, numbers[1:]))
    if len(rows) < LEAST_ROWS or changes * SHORT < len(rows):
        return None
    places: dict[int, list[int]] = {number: [] for number in set(numbers)}
    if not places.keys() <= schemas.keys():
        return None
    names = dict.fromkeys(name for number in sorted(places) for name in schemas[number])
    if len(names) > MAX_NAMES:
        return None
    for place, number in enumerate(numbers):
        places[number].append(place)
    values = list(map(_get_values, rows))
    columns: dict[str, _Column] = {name: [None] * len(rows) for name in names}
    for number, found in places.items():
        keys = schemas[number]
        same = [values[place] for place in found]
        if set(map(len, same)) != {len(keys)}:
            return None
        for key, column in zip(keys, zip(*same, strict=True), strict=True):
            _fill(columns[key], found, column)
    steps, times = list(map(_get_step, rows)), list(map(_get_time, rows))
    return Mixed(steps, times, tuple(names), list(columns.values()))


def _fill(whole: _Column, places: list[int], values: Iterable[MetricValue]) -> None:
    step = places[1] - places[0] if len(places) > 1 else 1
    evenly = range(places[0], places[-1] + 1, step)
    if len(evenly) == len(places) and list(evenly) == places:
        whole[evenly.start : evenly.stop : step] = values
        return
    for place, value in zip(places, values, strict=True):
        whole[place] = value
