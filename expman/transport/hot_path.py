"""The hot path of a lane: `log_vector`, a closure that is set to the names of a row in a term.

No lock, no system call, two C calls that touch shared memory. `term` has the proof for these two:
`TermData.write` appends, `TermIndex.published` publishes. Two threads may interleave between them;
each record carries its ordinal, so the consumer can tell which index entry belongs to which record
(`tests/process/test_threads.py`). Interpreters without a GIL take the miss path, which has a lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias

import msgspec

from expman.transport.schemas import REFUSALS, RowCodec, RowSchema, raised_by_value
from expman.transport.term import Term

__all__ = ["FastCall", "LogVector", "Miss", "make_fast_call"]

_STEP_END = 2**63
_SHORT_STEP_END = 2**30 - 1  # CPython compares these faster
_SCHEMA = 4  # place of the schema's number in a state


class LogVector(Protocol):
    """The signature of log_vector."""

    def __call__(self, values: Mapping[str, object], step: int | None = None) -> None: ...


Miss: TypeAlias = Callable[[Mapping[str, object], object], None]
"""Logs a row that the hot path does not take, or raises for it."""


class _Set(Protocol):
    def __call__(self, schema: RowSchema, codec: RowCodec, term: Term) -> None: ...


class FastCall(msgspec.Struct, frozen=True):
    """`log_vector`, and what it is set to.

    Attributes:
        log_vector: logs a row.
        set: has it take rows with these names, of this kind, into this term.
        clear: has it take no row; it holds no term afterwards.
    """

    log_vector: LogVector
    set: _Set
    clear: Callable[[], None]


_State: TypeAlias = tuple[
    Callable[[Mapping[str, object]], tuple[Any, ...]],  # the schema's getter
    int,  # number of keys
    Callable[[object], bytes],  # the codec's encode
    Callable[[tuple[Any, ...], tuple[Any, ...]], object],  # and check
    int,  # the schema's number
    Iterator[int],  # ordinals of the term
    Any,  # where the lengths of its records are published
    Callable[[bytes], int],  # write() of its data
    Callable[[int], None],  # its void()
    Any,  # a list with the state that the next row is expected to need; None: with this one
]


def make_fast_call(miss: Miss) -> FastCall:
    """Builds `log_vector`. Its state is replaced as a whole.

    The row's names and values are both checked: `getter` finds every name of the expected
    set and the count shows that there are no others; the codec's encoder and its check refuse
    every value that is not a number.

    Each set of names that the open term defines has its state. Where there are several, each
    remembers which one came after it the last time, and the next row is expected to be of that:
    rows of train, val and test in turn cost hardly more than rows of one set. Where threads race, a
    state may outlive its term. That does no harm: the data of a sealed term is full, so the call
    fails and takes the miss path.

    Args:
        miss: called for each other row: of new names, of other types, wrong ones, and those that
            find no room in the term. Nothing of the row is published then.
    """
    time_ns = time.time_ns
    state: _State | None = None
    states: dict[tuple[str, ...], _State] = {}
    last: Any = None  # the list of the state that the last row needed

    def log_vector(values: Mapping[str, object], step: int | None = None) -> None:
        nonlocal state, last
        expected = state
        while True:
            ordinal = None
            try:
                getter, count, encode, check, schema, ordinals, published, write, void, after = (
                    expected  # type: ignore[misc]
                )
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
                    published[ordinal] = write(record)
                    if after is not None:
                        last = after
                        state = after[0]
                    return
            except REFUSALS:  # the miss path repeats it all, and says what is wrong
                if ordinal is not None:
                    void(ordinal)
            except Exception as exc:
                if not raised_by_value(exc):
                    raise
                if ordinal is not None:
                    void(ordinal)
            known = states.get(tuple(values)) if type(values) is dict else None
            if known is None or (expected is not None and known[_SCHEMA] == expected[_SCHEMA]):
                break
            if last is not None:
                last[0] = known
            state = expected = known
        miss(values, step)

    def set_state(schema: RowSchema, codec: RowCodec, term: Term) -> None:
        nonlocal state
        for keys, other in states.copy().items():
            if other[-1] is None and keys != schema.keys:
                states[keys] = _with_successor(other)
        # A call in between may clear `state`.
        new: _State = (
            schema.getter,
            len(schema.keys),
            codec.encode,
            codec.check,
            schema.number,
            term.index.ordinals,
            term.index.published,
            term.data.write,
            term.void,
            None,
        )
        if states.keys() - {schema.keys}:
            new = _with_successor(new)
        state = states[schema.keys] = new

    def clear() -> None:
        nonlocal state, last
        for known in states.copy().values():
            if known[-1] is not None:
                known[-1][0] = None  # a call that is under way takes up no state that is gone
        state = last = None
        states.clear()

    # Python names it in messages about wrong arguments.
    log_vector.__qualname__ = "LoggingEngine.log_vector"
    return FastCall(log_vector, set_state, clear)


def _with_successor(state: _State) -> _State:
    """The same state, which expects rows of its own set to follow until others have."""
    after: list[_State] = []
    changed = (*state[:-1], after)
    after.append(changed)
    return changed
