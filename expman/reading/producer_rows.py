"""The rows of a run by who logged them: ranks, workers, or the owner alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from expman.errors import ConfigError
from expman.reading.vectors import read_vectors

__all__ = [
    "ProducerChoice",
    "ProducerRows",
    "count_producers",
    "is_rank",
    "label_of",
    "rows_by_producer",
]

_BY = ["_producer", "_rank"]


class ProducerChoice(NamedTuple):
    """Which producers are wanted; all if nothing is given.

    Attributes:
        ranks: the rows of these ranks themselves, and not of their DataLoader workers.
        names: producers, as `_producer` has them, or patterns.
    """

    ranks: Sequence[int] = ()
    names: Sequence[str] = ()

    def takes(self, name: str, rank: int | None) -> bool:
        """Whether a producer is among them."""
        if not self.ranks and not self.names:
            return True
        is_one = rank in self.ranks and is_rank(name, rank)
        return is_one or any(fnmatchcase(name, one) for one in self.names)


class ProducerRows(NamedTuple):
    """The rows of one producer.

    Attributes:
        name: as `_producer` has it.
        rank: of its process; None without ranks.
        label: what people call it.
        rows: its rows, in the order of logging.
    """

    name: str
    rank: int | None
    label: str
    rows: pa.Table


def is_rank(name: str, rank: int | None) -> bool:
    """Whether a producer is a rank itself, and not one of its workers."""
    return rank is not None and name in ("main", f"rank-{rank}")


def label_of(name: str, rank: int | None, *, of_many: bool) -> str:
    """Returns what people call a producer: `rank 2`, or its name in the files."""
    return f"rank {rank}" if of_many and is_rank(name, rank) else name


def count_producers(several: Sequence[ProducerRows]) -> str:
    """Returns "4 ranks", or "5 processes" if not all of them are ranks."""
    what = "ranks" if all(is_rank(one.name, one.rank) for one in several) else "processes"
    return f"{len(several):,} {what}"


def rows_by_producer(
    run_dir: str,
    columns: Sequence[str],
    *,
    last: int | None = None,
    choice: ProducerChoice | None = None,
) -> list[ProducerRows]:
    """Reads some columns, by producer: the owner first, then the ranks.

    Args:
        run_dir: the run's directory.
        columns: the columns; a rank's number is read besides.
        last: only so many rows of the run, the newest.
        choice: only these producers.

    Raises:
        ConfigError: the run has no such column, or no such producer.
        StorageError: a file cannot be read.
    """
    table = read_vectors(run_dir, [*_BY, *columns], last=last, lenient=True)
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        read_vectors(run_dir, missing, last=0)  # raises the error that names what there is
    found = list(_split(table))
    ranks = {one.rank for one in found if is_rank(one.name, one.rank)}
    named = [
        one._replace(label=label_of(one.name, one.rank, of_many=len(ranks) > 1)) for one in found
    ]
    named.sort(key=_order)
    chosen = [one for one in named if choice is None or choice.takes(one.name, one.rank)]
    if choice is not None and named:
        _check(choice, named, run_dir)
    return chosen


def _check(choice: ProducerChoice, known: Sequence[ProducerRows], run_dir: str) -> None:
    """Raises an error for a rank, or a name, that nobody has."""
    ranks = sorted({one.rank for one in known if one.rank is not None and is_rank(*one[:2])})
    for rank in choice.ranks:
        if rank not in ranks:
            there = _spans(ranks) or "no rank"
            raise ConfigError("ranks", str(rank), f"run {run_dir} has rows of {there}")
    for name in choice.names:
        if not any(fnmatchcase(one.name, name) for one in known):
            there = ", ".join(one.name for one in known[:_NAMED])
            more = f" and {len(known) - _NAMED:,} more" * (len(known) > _NAMED)
            raise ConfigError("producers", name, f"run {run_dir} has rows of {there}{more}")


_NAMED = 20


def _spans(ranks: Sequence[int]) -> str:
    """Returns numbers as `ranks 0 to 7`, or `ranks 0, 2, 5`."""
    if len(ranks) > 2 and ranks[-1] - ranks[0] == len(ranks) - 1:
        return f"ranks {ranks[0]:,} to {ranks[-1]:,}"
    more = f" and {len(ranks) - _NAMED:,} more" * (len(ranks) > _NAMED)
    word = "rank" if len(ranks) == 1 else "ranks"
    return f"{word} {', '.join(map(str, ranks[:_NAMED]))}{more}" if ranks else ""


def _order(one: ProducerRows) -> tuple[bool, int, list[str | int]]:
    """The owner, then ranks, each before its workers; numbers in names count as numbers."""
    pieces: list[str | int] = [one.name.rstrip("0123456789")]
    number = one.name[len(str(pieces[0])) :]
    rank = -1 if one.rank is None else one.rank
    return one.name != "main", rank, [*pieces, int(number or -1)]


def _split(table: pa.Table) -> Iterator[ProducerRows]:
    """Yields the rows of each producer; a stable sort, so that the order of logging stays."""
    names = pc.fill_null(table["_producer"].combine_chunks(), "main")
    coded = names.dictionary_encode()
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    known = coded.dictionary.to_pylist()
    rank_of = _maker(table)
    rest = table.drop_columns([name for name in _BY if name in table.column_names])
    if len(known) < 2:
        if table.num_rows:
            yield ProducerRows(known[0], rank_of(0), known[0], rest)
        return
    order = pc.sort_indices(coded.indices)
    rest = rest.take(order)
    counts = _counts(coded.indices)
    begin = 0
    for code, name in enumerate(known):
        rows = rest.slice(begin, counts[code])
        yield ProducerRows(name, rank_of(order[begin].as_py()), name, rows)
        begin += counts[code]


def _counts(codes_of_rows: pa.Array) -> dict[int, int]:
    found = pc.value_counts(codes_of_rows)
    return dict(
        zip(found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True)
    )


def _maker(table: pa.Table) -> Callable[[int], int | None]:
    """Returns a function that looks up the rank of a row."""
    if "_rank" not in table.column_names:
        return lambda _: None
    column = table["_rank"]
    return lambda row: column[row].as_py()
