"""The hot path of a lane: `log_vector`, a closure.

No lock, no system call, two C calls that touch shared memory.

Why it is safe without a lock across threads: under the GIL `data_write` (mmap.write) is
one step that takes the position, checks the bounds and copies. Two threads may interleave
between their two steps; each record carries its ordinal, so the consumer can always tell
which index entry belongs to which record. Builds without a GIL take the lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple, Protocol, TypeAlias

from expman.transport import records as wire
from expman.transport import ring

__all__ = ["LogVector", "Overflow", "Schema", "SetFast", "make_log_vector", "make_schema"]

_STEP_END = 2**63
# Not all exceptions: what a signal handler raises in here (TimeoutError, …) is the caller's.
_REFUSALS = (ArithmeticError, AttributeError, LookupError, StopIteration, TypeError, ValueError)


class LogVector(Protocol):
    """The signature of log_vector."""

    def __call__(self, values: Mapping[str, object], step: int | None = None) -> None: ...


class Schema(NamedTuple):
    """A set of metric names.

    Attributes:
        number: what stands for it in the records of its lane.
        getter: takes the values of a row, in the order of `keys`.
        keys: the names.
    """

    number: int
    getter: Callable[[Mapping[str, object]], tuple[object, ...]]
    keys: tuple[str, ...]


def make_schema(number: int, keys: tuple[str, ...]) -> Schema:
    """Describes a set of names."""
    if len(keys) == 1:
        (only,) = keys
        return Schema(number, lambda row: (row[only],), keys)
    return Schema(number, itemgetter(*keys) if keys else lambda row: (), keys)


_State: TypeAlias = tuple[
    Callable[[Mapping[str, object]], tuple[Any, ...]],  # the schema's getter
    int,  # number of keys
    int,  # the schema's number
    Iterator[int],  # ordinals of the open term
    Any,  # its index
    Callable[[bytes], int],  # write() of its data
    Callable[[int, tuple[object, ...], int | None], bool],  # overflow, of this schema and term
]
SetFast: TypeAlias = Callable[[Schema | None, ring.Term | None], None]
"""Sets the fast path to a set of names in a term, or closes it."""
Overflow: TypeAlias = Callable[[Schema, ring.Term, int, tuple[object, ...], int | None], bool]
"""Takes a row that passed the checks, with the ordinal that it took: it could not be encoded
(False, and no more is done), or the term is full (True: it was logged)."""


def make_log_vector(
    slowly: Callable[[Mapping[str, object], object], None],
    overflow: Overflow,
    index_of: Callable[[ring.Term], Any],
) -> tuple[LogVector, SetFast]:
    """Builds `log_vector`, and what sets it to a set of names. Its state is replaced as a whole.

    The row's names and values are both checked: `getter` finds every name of the expected
    set and the count shows that there are no others; `sum` refuses whatever is no number
    (msgspec alone would encode None, lists and dates); the encoder's hook refuses the rest.

    Each set of names that the open term defines has its state, so that rows of several sets may
    alternate. Where threads race, a state may outlive its term. That does no harm: the data of
    a sealed term is full, so the call fails and comes to the slow path.

    Args:
        slowly: takes the rows that are not for the fast path.
        overflow: takes those that were, but for the end of the term.
        index_of: where the lengths of a term's records are stored.
    """
    encode, time_ns = wire.encode, time.time_ns
    state: _State | None = None
    states: dict[tuple[str, ...], _State] = {}

    def log_vector(values: Mapping[str, object], step: int | None = None) -> None:
        nonlocal state
        try:
            getter, count, schema, ordinals, index, data_write, no_room = state  # type: ignore[misc]
            if (
                type(values) is dict
                and len(values) == count
                and (step is None or (type(step) is int and step < _STEP_END))
            ):
                row = getter(values)
                sum(row, 0.0)
                ordinal = next(ordinals)
                index[ordinal] = data_write(encode((1, ordinal, time_ns(), step, schema, row)))
                return
        except _REFUSALS:  # the slow path repeats it all and tells
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

    def set_fast(schema: Schema | None, term: ring.Term | None) -> None:
        nonlocal state
        if schema is None or term is None:
            state = None
            states.clear()
            return
        state = states[schema.keys] = (
            schema.getter,
            len(schema.keys),
            schema.number,
            term.ordinal,
            index_of(term),
            term.data.write,
            partial(overflow, schema, term),
        )

    return log_vector, set_fast
