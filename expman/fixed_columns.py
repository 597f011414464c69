"""The columns that rows have besides their metrics: one table, from which all else follows.

A new column is a line in `FIXED_COLUMNS` with a `since` one above the greatest so far. Files carry
that number as the version of their layout. Files of an earlier version are read and continued:
their rows have the column's `default`. A later version is refused by name, for its columns would
be taken for metrics.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

import msgspec

from expman.models import Rank

__all__ = [
    "FIXED_COLUMNS",
    "FixedColumn",
    "FixedValue",
    "Producer",
    "layout_version",
    "reserved",
    "values_of",
]

FixedValue: TypeAlias = int | str | None


class Producer(Protocol):
    """Producer of a row, as far as its columns depend on it: the hello of its lane."""

    @property
    def pid(self) -> int:
        """Its process id."""

    @property
    def rank(self) -> Rank | None:
        """Its place in a job of many processes."""

    @property
    def attempt(self) -> int:
        """Number of the run's attempt that it belongs to, from 1."""


class FixedColumn(msgspec.Struct, frozen=True):
    """One column besides the metrics.

    Attributes:
        name: its name, which no metric may have.
        kind: its type: "int64", "string", or "timestamp" (microseconds, UTC).
        meaning: what its values mean.
        since: the layout version that it came with.
        of: what it is for all rows of a producer. A file has such a column only if one of its
            producers has a value. None: each row has its own, and every file has the column.
        default: the value of a row that has none, and of every row of a file without the column.
    """

    name: str
    kind: Literal["int64", "string", "timestamp"]
    meaning: str
    since: int = 1
    of: Callable[[Producer], FixedValue] | None = None
    default: FixedValue = None


def _rank(producer: Producer) -> FixedValue:
    return None if producer.rank is None else producer.rank.rank


def _attempt(producer: Producer) -> FixedValue:
    return producer.attempt if producer.attempt > 1 else None


FIXED_COLUMNS: list[FixedColumn] = [
    FixedColumn("step", "int64", "the user's step"),
    FixedColumn("timestamp", "timestamp", "when the call was made"),
    FixedColumn("_producer", "string", "who logged it: `main` for the run's owner"),
    FixedColumn("_seq", "int64", "number of the row among its producer's rows, from 0"),
    FixedColumn("_rank", "int64", "the rank of the row's producer", of=_rank),
    FixedColumn(
        "_attempt",
        "int64",
        "the attempt that logged it, from 1; only in runs that went on",
        since=2,
        of=_attempt,
        default=1,
    ),
]


def values_of(producer: Producer) -> dict[str, int | str]:
    """The columns that all rows of a producer share, as far as it has a value."""
    found = {column.name: column.of(producer) for column in FIXED_COLUMNS if column.of}
    return {name: value for name, value in found.items() if value is not None}


def reserved() -> frozenset[str]:
    """The names that no metric may have."""
    return frozenset(column.name for column in FIXED_COLUMNS)


def layout_version() -> int:
    """The version of the layout of the files that are written."""
    return max(column.since for column in FIXED_COLUMNS)
