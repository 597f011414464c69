"""A call that is interrupted in the same thread, before any opcode.

Signal handlers, finalizers, callbacks of the garbage collector and trace functions do that: they
log themselves, or raise. Every row that a call returned for is there once, under its own names,
and no other call suffers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from lanes import DEADLINE_S, make_hello, read_all, ring_of, rows_of
from opcodes import interrupt, numbers

from expman.errors import RunClosedError
from expman.models import RunStatus
from expman.transport import places, ring, segment
from expman.transport import records as wire
from expman.transport.address import lane_numbers
from expman.transport.consumer import LaneConsumer
from expman.transport.gate import RunGate
from expman.transport.producer import LaneProducer
from expman.transport.segment import Address

# An exception within __del__ ends there, and Python speaks of it.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
STRIDE = 61
"""Every so many opcodes one is tried in the default suite; in a soak test all are."""
SMALL = 64 * 1024
CALL = 999_999
"""Step of the row whose call is interrupted."""


@pytest.fixture(autouse=True)
def small_terms(monkeypatch: pytest.MonkeyPatch, settled: None) -> None:
    """Terms of 16 KiB, as small as they get."""
    monkeypatch.setattr(ring, "FIRST_TERM_BYTES", 16 * 1024)
    monkeypatch.setattr(ring, "LARGEST_TERM_BYTES", 16 * 1024)


class Lane:
    """A lane, what its calls returned for, and what a reader has taken from it."""

    def __init__(self, address: Address, kind: str) -> None:
        overflow = "drop" if kind == "drop" else "block"
        hello = make_hello(max_buffer_bytes=SMALL if kind == "drop" else 1 << 20, overflow=overflow)
        self.producer = LaneProducer(address, hello, on_wait=self.drain)
        self.address = address
        self.consumers = [LaneConsumer(address, self.producer.lane)]
        if kind == "claim":
            gate = RunGate.attach(address, self.producer.lane)
            self.owner = self.producer  # lives as long as its worker
            self.producer = LaneProducer(address, hello, gate=gate)
        self.wanted: dict[int, dict[str, Any]] = {}
        self.records: dict[LaneConsumer, list[wire.Record]] = {}

    def log(self, row: dict[str, Any], step: int) -> None:
        self.producer.log_vector(row, step)
        self.wanted[step] = row

    def drain(self) -> bool:
        """Takes what is there, as a writer does."""
        for consumer in self.consumers:
            batch = read_all(consumer)
            assert [] == batch.problems
            self.records.setdefault(consumer, []).extend(batch.records)
            consumer.release()
        return True

    def find_workers(self) -> None:
        for number in lane_numbers(self.address) - {consumer.lane for consumer in self.consumers}:
            with contextlib.suppress(FileNotFoundError):
                self.consumers.append(LaneConsumer(self.address, number))

    def check(self, *, raised: bool) -> None:
        """Compares what is in the lanes with what the calls returned for."""
        self.drain()
        assert self.producer.close(RunStatus.FINISHED, None, DEADLINE_S)
        self.find_workers()
        self.drain()
        rows = [row for records in self.records.values() for row in rows_of(records)]
        found = [step for step, _ in rows]
        dropped = self.producer.dropped_rows
        assert len(found) == len(set(found))
        for step, row in rows:
            assert step is not None
            assert row == self.wanted.get(step, row)
        missing = len(set(self.wanted) - set(found))
        assert missing <= dropped <= missing + raised  # the call that raised may have dropped
        numbered = sum(consumer.rows for consumer in self.consumers)
        assert len(rows) <= numbered <= len(rows) + dropped
        of_ours = self.consumers[1:] if hasattr(self, "owner") else self.consumers
        assert raised or all(consumer.at_end() for consumer in of_ours)


ROW = {"a": 0.5}
TEXT = {"a": 0.5, "t": "text"}
NAMES = {"new": 0.5, "names": 2}


def at_first(lane: Lane) -> Callable[[], None]:
    return lambda: lane.log(ROW, CALL)


def at_fast(lane: Lane) -> Callable[[], None]:
    for step in range(3):
        lane.log({"a": 1.5}, step)
    return lambda: lane.log(ROW, CALL)


def at_text(lane: Lane) -> Callable[[], None]:
    lane.log(TEXT, 0)
    return lambda: lane.log(TEXT, CALL)


def at_names(lane: Lane) -> Callable[[], None]:
    lane.log(ROW, 0)
    return lambda: lane.log(NAMES, CALL)


def at_term(lane: Lane) -> Callable[[], None]:
    data = ring_of(lane.producer).term.data
    while data.room >= 30:
        lane.log({"a": 1.5}, len(lane.wanted))
    return lambda: lane.log(ROW, CALL)


def at_drop(lane: Lane) -> Callable[[], None]:
    while not lane.producer.dropped_rows:
        lane.log({"a": 1.5}, len(lane.wanted))
    return lambda: lane.log(ROW, CALL)


def at_close(lane: Lane) -> Callable[[], None]:
    lane.log(ROW, 0)
    return lambda: close(lane)


def at_flush(lane: Lane) -> Callable[[], None]:
    lane.log(ROW, 0)
    return lambda: flush(lane)


CALLS: dict[str, Callable[[Lane], Callable[[], None]]] = {
    "first": at_first,
    "fast": at_fast,
    "text": at_text,
    "names": at_names,
    "term": at_term,
    "drop": at_drop,
    "claim": at_first,
    "close": at_close,
    "flush": at_flush,
}


def log_new_names(lane: Lane) -> None:
    lane.log({"b": 1.5, "c": 2.5}, CALL + 1)
    lane.log({"d": 3}, CALL + 2)
    lane.log({"z": "text"}, CALL + 3)


def log_terms_full(lane: Lane) -> None:
    for number in range(40):
        lane.log({f"name {number}": "x" * 1000}, CALL + 1 + number)


def flush(lane: Lane) -> None:
    assert lane.producer.request_flush(DEADLINE_S) is not None


def log_scalar(lane: Lane) -> None:
    lane.producer.log_scalar("s", 1.5)


def close(lane: Lane) -> None:
    assert lane.producer.close(RunStatus.FAILED, "reason", DEADLINE_S)
    lane.producer.let_go()


def raise_error(lane: Lane) -> None:
    raise KeyboardInterrupt


ACTIONS = [log_new_names, log_terms_full, flush, log_scalar, close, raise_error]


def try_all(address: Address, kind: str, action: Callable[[Lane], None], stride: int) -> None:
    for at in numbers(stride):
        lane = Lane(address, kind)
        call = CALLS[kind](lane)

        def act(lane: Lane = lane) -> None:
            try:
                action(lane)
            except RunClosedError:
                assert kind == "close"  # after it

        fired = True
        try:
            fired = interrupt(call, at, act)
        except KeyboardInterrupt:
            assert action is raise_error
        except RunClosedError:
            assert action is close
        try:
            lane.check(raised=action is raise_error)
        except AssertionError as exc:
            raise AssertionError(f"opcode {at} of {kind}, {action.__name__}") from exc
        finally:
            remove_lanes(address)
        if not fired:
            return


def remove_lanes(address: Address) -> None:
    for name in places.list_names(address.place):
        if name.startswith(address.segment() + "-"):
            segment.remove(address.place, name)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("kind", CALLS)
def test_interrupted(address: Address, kind: str, action: Callable[[Lane], None]) -> None:
    """At some opcodes, others each day."""
    try_all(address, kind, action, STRIDE)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("kind", CALLS)
def test_interrupted_anywhere(address: Address, kind: str, action: Callable[[Lane], None]) -> None:
    """At every opcode."""
    try_all(address, kind, action, 1)
