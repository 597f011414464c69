"""The hot path of a lane: `log_vector`, a closure.

No lock, no system call, two C calls that touch shared memory.

Why it is safe without a lock across threads: under the GIL `data_write` (mmap.write) is
one step that takes the position, checks the bounds and copies. Two threads may interleave
between their two steps; each record carries its ordinal, so the consumer can always tell
which index entry belongs to which record. Builds without a GIL take the lock.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from operator import itemgetter
from typing import Any, Protocol, TypeAlias

import msgspec

from expman.transport import encoding, ring, values

__all__ = [
    "MIXED",
    "PLAIN",
    "REFUSALS",
    "LogVector",
    "Overflow",
    "RowCodec",
    "Schema",
    "SetFast",
    "make_log_vector",
    "make_schema",
]

_STEP_END = 2**63
_SHORT_STEP_END = 2**30 - 1  # CPython compares these faster
# Not all exceptions: what a signal handler raises in here (TimeoutError, …) is the caller's.
REFUSALS = (ArithmeticError, AttributeError, LookupError, StopIteration, TypeError, ValueError)


class LogVector(Protocol):
    """The signature of log_vector."""

    def __call__(self, values: Mapping[str, object], step: int | None = None) -> None: ...


class Schema(msgspec.Struct, frozen=True):
    """A set of metric names.

    Attributes:
        number: what stands for it in the records of its lane.
        getter: takes the values of a row, in the order of `keys`.
        keys: the names.
    """

    number: int
    getter: Callable[[Mapping[str, object]], tuple[object, ...]]
    keys: tuple[str, ...]


class RowCodec(msgspec.Struct, frozen=True):
    """How rows are encoded and what refuses those whose values are no numbers.

    Attributes:
        encode: raises for what it does not know.
        check: called with the row, twice; raises for what is encoded but no number.
    """

    encode: Callable[[object], bytes]
    check: Callable[[tuple[Any, ...], tuple[Any, ...]], object]


PLAIN = RowCodec(encoding.encode_plain, math.dist)
"""For rows of plain floats, ints and bools. The distance of a row to itself is the fastest C call
that looks at each value: it needs real numbers (msgspec alone would encode None, lists, dates)."""
MIXED = RowCodec(encoding.encode, values.check_types)
"""For rows with scalars of numpy, torch and others, which the encoder's hook reads. To compute with
them would take longer than all the rest."""


def make_schema(number: int, keys: tuple[str, ...]) -> Schema:
    """Describes a set of names."""
    if len(keys) == 1:
        (only,) = keys
        return Schema(number, lambda row: (row[only],), keys)
    return Schema(number, itemgetter(*keys) if keys else lambda row: (), keys)


_State: TypeAlias = tuple[
    Callable[[Mapping[str, object]], tuple[Any, ...]],  # the schema's getter
    int,  # number of keys
    Callable[[object], bytes],  # the codec's encode
    Callable[[tuple[Any, ...], tuple[Any, ...]], object],  # and check
    int,  # the schema's number
    Iterator[int],  # ordinals of the open term
    Any,  # its index
    Callable[[bytes], int],  # write() of its data
    Callable[[int, tuple[object, ...], int | None], bool],  # overflow, of this schema and term
]


class SetFast(Protocol):
    """Sets the fast path to a set of names in a term, or closes it."""

    def __call__(
        self, schema: Schema | None, term: ring.Term | None, codec: RowCodec = PLAIN
    ) -> None: ...


Overflow: TypeAlias = Callable[
    [Schema, ring.Term, RowCodec, int, tuple[object, ...], int | None], bool
]
"""Takes a row that has all names, with the ordinal that it took: its values were refused (False,
and no more is done), or the term is full (True: it was logged)."""


def make_log_vector(
    slowly: Callable[[Mapping[str, object], object], None],
    overflow: Overflow,
    index_of: Callable[[ring.Term], Any],
) -> tuple[LogVector, SetFast]:
    """Builds `log_vector`, and what sets it to a set of names. Its state is replaced as a whole.

    The row's names and values are both checked: `getter` finds every name of the expected
    set and the count shows that there are no others; the codec's encoder and its check refuse
    whatever is no number.

    Each set of names that the open term defines has its state, so that rows of several sets may
    alternate. Where threads race, a state may outlive its term. That does no harm: the data of
    a sealed term is full, so the call fails and comes to the slow path.

    Args:
        slowly: takes the rows that are not for the fast path.
        overflow: takes those that seem to be, but did not get into the term.
        index_of: where the lengths of a term's records are stored.
    """
    time_ns = time.time_ns
    state: _State | None = None
    states: dict[tuple[str, ...], _State] = {}

    def log_vector(values: Mapping[str, object], step: int | None = None) -> None:
        nonlocal state
        try:
            getter, count, encode, check, schema, ordinals, index, data_write, no_room = state  # type: ignore[misc]
            if (
                type(values) is dict
                and len(values) == count
                and (
                    step is None
                    or (type(step) is int and (step < _SHORT_STEP_END or step < _STEP_END))
                )
            ):
                row = getter(values)
                ordinal = next(ordinals)
                record = encode((1, ordinal, time_ns(), step, schema, row))
                check(row, row)
                index[ordinal] = data_write(record)
                return
        except REFUSALS:  # the slow path repeats it all and tells
            try:
                taken = ordinal
            except NameError:
                pass
            else:
                if no_room(taken, row, step):
                    return
        if type(values) is dict:
            known = states.get(tuple(values))
            if known is not None and known is not state:
                state = known
                return log_vector(values, step)
        slowly(values, step)

    def set_fast(schema: Schema | None, term: ring.Term | None, codec: RowCodec = PLAIN) -> None:
        nonlocal state
        if schema is None or term is None:
            state = None
            states.clear()
            return
        state = states[schema.keys] = (
            schema.getter,
            len(schema.keys),
            codec.encode,
            codec.check,
            schema.number,
            term.ordinal,
            index_of(term),
            term.data.write,
            partial(overflow, schema, term, codec),
        )

    return log_vector, set_fast
