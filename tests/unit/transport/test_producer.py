"""The producing end: what it publishes, when its terms are full, when it drops, waits, ends."""

from __future__ import annotations

import dataclasses
import decimal
import enum
import errno
import fractions
import gc
import math
import os
import signal
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator
from operator import attrgetter
from types import FrameType
from typing import Any

import numpy as np
import pytest
from lanes import DEADLINE_S, make_hello, open_lane, read_all, ring_of, rows_of, steps_of

from expman.errors import RecordTooLargeError, RunClosedError, SharedMemoryError
from expman.models import LogLevel, RunStatus
from expman.transport import layout, places, producer, ring, schemas, segment, values
from expman.transport import records as wire
from expman.transport.address import lane_numbers
from expman.transport.consumer import LaneConsumer
from expman.transport.gate import RunGate
from expman.transport.segment import Address
from expman.transport.term import TermData

SMALL = 64 * 1024  # the least that a configuration can ask for: two terms of 32 KiB


@pytest.fixture
def small_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Terms of 16 KiB, as small as they get."""
    monkeypatch.setattr(ring, "FIRST_TERM_BYTES", 16 * 1024)
    monkeypatch.setattr(ring, "LARGEST_TERM_BYTES", 16 * 1024)


class Drain:
    """A thread that reads a lane and gives its memory back, as a writer does."""

    def __init__(self, consumer: LaneConsumer) -> None:
        self.records: list[wire.Record] = []
        self.problems: list[Any] = []
        self._consumer = consumer
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._take()
            self._stop.wait(0.001)
        self._take()

    def _take(self) -> None:
        batch = read_all(self._consumer)
        self.records += batch.records
        self.problems += batch.problems
        self._consumer.release()

    def __enter__(self) -> Drain:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()


# -- rows ------------------------------------------------------------

ROWS: list[tuple[dict[str, Any], Any]] = [
    ({"a": 0.5}, 1),
    ({"a": 0.5, "b": 2, "c": True}, None),
    ({"a": math.inf, "b": -0.0}, -(2**63)),
    ({"a": -(2**63), "b": 2**64 - 1}, 2**63 - 1),
    ({"a": 2**70}, 0),
    ({"a": np.float32(0.5), "b": np.array(2)}, np.int64(3)),
    ({"a": np.bool_(True)}, np.int8(1)),
    ({"a": "text", "b": 1.5}, 4.0),
    ({}, 5),
    ({f"key {n}": float(n) for n in range(200)}, 6),
]


@pytest.mark.parametrize(("row", "step"), ROWS, ids=lambda one: str(one)[:20])
def test_the_fast_path_publishes_what_the_slow_one_does(
    address: Address, row: dict[str, Any], step: Any
) -> None:
    """The first call of a set of names is slow, the second may be fast: equal records."""
    lane = open_lane(address)
    number = dict.fromkeys(row, 1.0)
    lane._rows._log(row, step)
    lane._rows._log(number, 0)  # makes the fast path ready for these names
    lane.log_vector(row, step)

    first, _, second = rows_of(read_all(LaneConsumer(address, lane.lane)).records)

    assert repr(first) == repr(second)


class Addable:
    """A value that goes through sum() and through float(), but is no number."""

    def __radd__(self, other: float) -> float:
        return other

    def __float__(self) -> float:
        return 1.5


REFUSED: list[tuple[Any, Any]] = [
    (None, 0),
    ([1.0], 0),
    (b"x", 0),
    (fractions.Fraction(1, 2), 0),
    (np.zeros(2), 0),
    (np.zeros(1), 0),
    (1j, 0),
    (Addable(), 0),
    (1.0, "7"),
    (1.0, 0.5),
    (1.0, 2**63),
    (1.0, -(2**63) - 1),
]


@pytest.mark.parametrize(("value", "step"), REFUSED, ids=lambda one: type(one).__name__)
def test_a_refused_row_costs_no_other(address: Address, value: Any, step: Any) -> None:
    """On the slow path and on the fast one: TypeError or ValueError, nothing of it published."""
    lane = open_lane(address)
    for good in range(3):
        with pytest.raises((TypeError, ValueError)):
            lane.log_vector({"a": 0.5, "b": value}, step)
        lane.log_vector({"a": 0.5, "b": 1.5}, good)

    batch = read_all(LaneConsumer(address, lane.lane))

    assert [0, 1, 2] == steps_of(batch.records)
    assert [] == batch.problems


@dataclasses.dataclass
class Scalar:
    """A 0-d value of its own kind: msgspec would encode its fields."""

    held: float
    ndim = 0

    def item(self) -> float:
        return self.held


class Level(enum.Enum):
    LOW = 0.5
    ODD = (1, 2)


@pytest.mark.parametrize("value", [Scalar(0.5), Level.LOW])
def test_what_msgspec_encodes_in_its_own_way_is_logged_by_value(
    address: Address, value: Any
) -> None:
    """However often, and among scalars of numpy."""
    lane = open_lane(address)
    for _ in range(3):
        lane.log_vector({"a": np.float32(1.5), "b": np.float32(2.5)})
        lane.log_vector({"a": np.float32(1.5), "b": value})
    with pytest.raises(TypeError, match="metric 'b'"):
        lane.log_vector({"a": np.float32(1.5), "b": Level.ODD})

    rows = [row for _, row in rows_of(read_all(LaneConsumer(address, lane.lane)).records)]
    assert [{"a": 1.5, "b": 2.5}, {"a": 1.5, "b": 0.5}] * 3 == rows


@pytest.mark.parametrize("value", [None, np.zeros(2)], ids=["None", "array"])
def test_the_refusal_names_the_key(address: Address, value: Any) -> None:
    """Also when the fast path met it."""
    lane = open_lane(address)
    lane.log_vector({"a": 0.5, "b": 1.5})

    with pytest.raises(TypeError, match="metric 'b'"):
        lane.log_vector({"a": 0.5, "b": value})


def test_rows_of_many_shapes(address: Address) -> None:
    """Names in another order, more, fewer and other names: each row has exactly its own."""
    lane = open_lane(address)
    shapes = [("a", "b"), ("b", "a"), ("a",), ("a", "b", "c"), ("x", "y"), ("a", "c")]
    logged: list[tuple[int | None, dict[str, Any]]] = []
    for step in range(60):
        keys = shapes[step * step % 6]
        logged.append((step, {key: float(step + len(key)) for key in keys}))
        lane.log_vector(logged[-1][1], step)

    assert logged == rows_of(read_all(LaneConsumer(address, lane.lane)).records)


def test_sets_of_names_that_alternate_stay_fast(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each set of names is checked once; its later rows are fast, whatever comes in between."""
    checked = []
    plain_row = values.plain_row
    monkeypatch.setattr(values, "plain_row", lambda row: checked.append(row) or plain_row(row))
    lane = open_lane(address)
    sets = [{"loss": 0.5}, {"lr": 0.1}, {"loss": 0.5, "acc": 1.0}, {"acc": 1.0, "loss": 0.5}]
    for step in range(100):
        lane.log_vector(sets[step % 4], step)

    assert sets == checked
    rows = rows_of(read_all(LaneConsumer(address, lane.lane)).records)
    assert [(step, sets[step % 4]) for step in range(100)] == rows


def test_a_profiler_that_logs_at_each_call(address: Address) -> None:
    """Its rows have other names than those of the call that it looks at; neither keeps missing."""
    lane = open_lane(address)
    calls = 0

    def profile(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        if event == "call" and frame.f_code.co_name == "log_vector":
            lane.log_vector({"calls": calls}, calls)
            calls += 1

    sys.setprofile(profile)
    try:
        for step in range(20):
            lane.log_vector({"loss": 0.5} if step % 3 else {"acc": 1.0}, step)
    finally:
        sys.setprofile(None)

    rows = rows_of(read_all(LaneConsumer(address, lane.lane)).records)
    assert 20 == calls
    assert [(step, {"calls": step}) for step in range(20)] == [r for r in rows if "calls" in r[1]]
    others = [(step, {"loss": 0.5} if step % 3 else {"acc": 1.0}) for step in range(20)]
    assert others == [row for row in rows if "calls" not in row[1]]


def test_mappings_that_are_no_dict(address: Address) -> None:
    """They take the slow path and are rows like others."""
    lane = open_lane(address)
    for step in range(3):
        lane.log_vector(OrderedDict(b=step, a=1.0), step)

    assert [(step, {"b": step, "a": 1.0}) for step in range(3)] == rows_of(
        read_all(LaneConsumer(address, lane.lane)).records
    )


def test_more_shapes_than_are_remembered(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forgotten sets of names are defined anew, under numbers that were never used."""
    monkeypatch.setattr(schemas, "MOST_SCHEMAS", 4)
    lane = open_lane(address)
    logged = [(step, {f"k{step % 7}": 1.0}) for step in range(50)]
    for step, row in logged:
        lane.log_vector(row, step)

    records = read_all(LaneConsumer(address, lane.lane)).records

    numbers = [record.schema for record in records if isinstance(record, wire.Schema)]
    assert len(numbers) == len(set(numbers))
    assert logged == rows_of(records)


def test_failed_calls_use_up_no_row(address: Address, small_terms: None) -> None:
    """Refused rows use up ordinals; past the end of the index the next row comes once all the same.

    Each failed call takes an ordinal and no data, so the index fills before the data.
    """
    lane = open_lane(address)
    lane.log_vector({"a": 0.5}, 0)
    bad = {"a": Addable()}
    for _ in range(layout.index_entries(16 * 1024) + 10):
        with pytest.raises(TypeError):
            lane.log_vector(bad)
    lane.log_vector({"a": 0.5}, 1)
    lane.log_vector({"a": 0.5}, 2)
    lane.close(RunStatus.FINISHED, None, 1)

    batch = read_all(LaneConsumer(address, lane.lane))

    assert [0, 1, 2] == steps_of(batch.records)
    assert [] == batch.problems


def test_a_value_that_holds_itself(address: Address) -> None:
    """msgspec goes on until the stack ends. It is refused like any other value."""

    @dataclasses.dataclass
    class Value:
        inner: object = None

    value = Value()
    value.inner = value
    lane = open_lane(address)
    lane.log_vector({"a": 0.5}, 0)
    with pytest.raises(TypeError, match="metric 'a': cannot log"):
        lane.log_vector({"a": value}, 1)
    lane.log_vector({"a": 0.5}, 2)
    lane.close(RunStatus.FINISHED, None, DEADLINE_S)
    assert [] == read_all(LaneConsumer(address, lane.lane)).problems


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, OSError, TypeError])
def test_a_value_whose_float_raises(address: Address, error: type[Exception]) -> None:
    """msgspec takes a dataclass by its fields; the check asks for its number. It is refused."""

    @dataclasses.dataclass
    class Value:
        def __float__(self) -> float:
            raise error("odd")

    lane = open_lane(address)
    for step in range(3):
        lane.log_vector({"a": 0.5}, step)
    with pytest.raises(TypeError, match="metric 'a': cannot log"):
        lane.log_vector({"a": Value()}, 3)
    lane.log_vector({"a": 0.5}, 4)
    lane.close(RunStatus.FINISHED, None, DEADLINE_S)

    batch = read_all(LaneConsumer(address, lane.lane))
    rows = [record.step for record in batch.records if isinstance(record, wire.Vector)]
    assert [0, 1, 2, 4] == rows
    assert [] == batch.problems


def test_a_failed_call_that_was_held_up_harms_no_later_term(
    address: Address, small_terms: None, settled: None
) -> None:
    """A call fails with an old term in hand whose memory serves a later term by then."""
    lane = open_lane(address, max_bytes=SMALL)
    consumer = LaneConsumer(address, lane.lane)
    taken: list[wire.Record] = []
    logged = 0

    @dataclasses.dataclass
    class Slow:
        """Is encoded, and refused after so long that others have filled some terms meanwhile."""

        def __float__(self) -> float:
            nonlocal logged
            old = ring_of(lane).term
            while ring_of(lane).term is old:  # few rows: its next ordinal stays small
                lane.log_vector({"b": "x" * 200}, logged)
                logged += 1
            while ring_of(lane).term.slot is not old.slot or steps_in_term() < 200:
                lane.log_vector({"a": 0.5}, logged)
                logged += 1
                if ring_of(lane).term.slot is not old.slot:
                    taken.extend(read_all(consumer).records)
                    consumer.release()
            raise TypeError

    def steps_in_term() -> int:
        return sum(1 for length in ring_of(lane).term.index.lengths if length)

    lane.log_vector({"a": 0.5}, logged)
    logged += 1
    with pytest.raises(TypeError):
        lane.log_vector({"a": Slow()})
    assert layout.VOID not in ring_of(lane).term.index.lengths
    lane.close(RunStatus.FINISHED, None, 1)
    last = read_all(consumer)

    assert [] == last.problems
    assert list(range(logged)) == steps_of(taken + last.records)


def test_a_row_that_was_held_up_comes_once(
    address: Address, small_terms: None, settled: None
) -> None:
    """A call stores a good row with an old term in hand whose memory serves a later term."""
    lane = open_lane(address, max_bytes=SMALL)
    consumer = LaneConsumer(address, lane.lane)
    taken: list[wire.Record] = []
    logged = 0

    def log(row: dict[str, Any]) -> None:
        nonlocal logged
        lane.log_vector(row, logged)
        logged += 1
        taken.extend(read_all(consumer).records)
        consumer.release()

    class Slow(float):
        """Takes so long that others fill some terms, and some of a term in the same memory."""

        def __radd__(self, other: float) -> float:
            if logged > 1:
                return other  # the check for the next term
            # The term itself is held by the call alone.
            of_term = attrgetter("serial", "slot", "data.mapping")
            serial, slot, mapping = of_term(ring_of(lane).term)
            while ring_of(lane).term.serial == serial:  # few rows: its next ordinal stays small
                log({"b": "x" * 200})
            while ring_of(lane).term.slot is not slot:
                log({"a": 0.5})
            assert ring_of(lane).term.data.mapping is not mapping
            for _ in range(200):
                log({"a": 0.5})
            return other

    log({"a": np.float32(0.5)})
    lane.log_vector({"a": Slow(1.5)}, -1)
    log({"a": 0.5})
    lane.close(RunStatus.FINISHED, None, 1)
    last = read_all(consumer)

    steps = steps_of(taken + last.records)
    assert [] == last.problems
    assert list(range(logged)) == [step for step in steps if step != -1]
    assert 1 == steps.count(-1)


def test_a_decimal_is_a_number_wherever_it_comes(address: Address, small_terms: None) -> None:
    """On the fast path, and where a term ends."""
    lane = open_lane(address)
    names = [f"a{number}" for number in range(20)]
    for step in range(1_000):
        value = 0.5 if step < 5 else decimal.Decimal("0.5")
        lane.log_vector(dict.fromkeys(names, value), step)

    logged = rows_of(read_all(LaneConsumer(address, lane.lane)).records)

    assert [(step, dict.fromkeys(names, 0.5)) for step in range(1_000)] == logged
    assert 2 < lane.control.opened_terms


def test_scalars_after_floats_and_floats_after_scalars(address: Address) -> None:
    """Whatever kinds of numbers a set of names had before, each row arrives."""
    lane = open_lane(address)
    kinds = [0.5, np.float32(0.5), 0.5, "text", 1, np.array(2.5), True, None, 2**70, 0.5]
    logged = []
    for step, value in enumerate(3 * kinds):
        if value is None:
            with pytest.raises(TypeError, match="'a'"):
                lane.log_vector({"a": value}, step)
            continue
        lane.log_vector({"a": value}, step)
        plain = value.item() if isinstance(value, np.generic | np.ndarray) else value
        logged.append((step, {"a": float(plain) if plain == 2**70 else plain}))

    assert repr(logged) == repr(rows_of(read_all(LaneConsumer(address, lane.lane)).records))


def test_a_complex_value_is_refused_without_a_warning(address: Address) -> None:
    """Where the same name had a float before, too; warnings are errors here."""
    lane = open_lane(address)
    lane.log_vector({"loss": 0.5}, 0)
    lane.log_vector({"loss": 0.5, "acc": 0.5}, 1)
    with pytest.raises(TypeError, match="loss"):
        lane.log_vector({"loss": np.complex64(1)}, 2)


@pytest.mark.torch
def test_a_tensor_with_a_gradient_does_not_warn(address: Address) -> None:
    """Not even where the same name had a float before; warnings are errors here."""
    import torch

    loss = torch.tensor(0.5, requires_grad=True) * 3
    lane = open_lane(address)
    for step, value in enumerate((0.5, loss, loss, 0.5, loss)):
        lane.log_vector({"loss": value, "acc": 0.5}, step)

    rows = rows_of(read_all(LaneConsumer(address, lane.lane)).records)

    assert [0.5, 1.5, 1.5, 0.5, 1.5] == [values["loss"] for _, values in rows]


def test_a_term_in_used_memory_needs_no_new_mapping(
    address: Address, small_terms: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a term costs a call neither a mapping nor the checks of the slow path."""
    lane = open_lane(address, max_bytes=SMALL)
    consumer = LaneConsumer(address, lane.lane)
    lane.log_vector({"a": 0.5}, 0)
    checks = []
    real = values.plain_row
    monkeypatch.setattr(values, "plain_row", lambda row: checks.append(row) or real(row))
    mappings = set()
    step = 0
    while lane.control.opened_terms < 20:
        step += 1
        lane.log_vector({"a": 0.5}, step)
        mappings.add(ring_of(lane).term.data.mapping)
        if step % 50 == 0:
            read_all(consumer)
            consumer.release()

    assert [] == checks
    assert len(mappings) <= lane.control.lane_bytes // (16 * 1024)


# -- terms ------------------------------------------------------------


def test_rows_go_through_many_terms(address: Address, small_terms: None) -> None:
    """Every term defines the names that it uses; each row arrives once and in order."""
    lane = open_lane(address, max_bytes=SMALL)
    logged = [(step, {"a": 0.5 * step, f"b{step % 3}": step}) for step in range(5_000)]
    with Drain(LaneConsumer(address, lane.lane)) as drain:
        for step, row in logged:
            lane.log_vector(row, step)
        lane.close(RunStatus.FINISHED, None, DEADLINE_S)

    assert logged == rows_of(drain.records)
    assert [] == drain.problems
    assert 5 < lane.control.opened_terms
    assert lane.control.lane_bytes <= SMALL


@pytest.mark.parametrize("megabytes", [2, 64])
def test_all_of_the_limit_can_be_used(address: Address, megabytes: int) -> None:
    """As many terms as a lane can have add up to what it may take, and no term is half of it."""
    limit = megabytes << 20
    lane = open_lane(address, max_bytes=limit, overflow="drop")
    row = {f"metric {n}": 0.5 for n in range(1_000)}

    while not lane.dropped_rows:
        lane.log_vector(row)

    assert 0.98 * limit < lane.control.high_water_bytes <= limit
    sizes = [segment.attach(address.place, name).size for name in terms_of(address, lane)]
    assert max(sizes) <= limit // 2


def terms_of(address: Address, lane: producer.LaneProducer) -> list[str]:
    start = address.segment(lane.lane) + "-"
    return [name for name in places.list_names(address.place) if name.startswith(start)]


def test_a_lane_grows_by_terms_up_to_its_limit(address: Address) -> None:
    """It starts with two terms and never has more memory than it may."""
    lane = open_lane(address, max_bytes=1 << 20, overflow="drop")
    assert 2 * ring.FIRST_TERM_BYTES == lane.control.lane_bytes

    for step in range(40_000):
        lane.log_vector({"a": 0.5, "b": 1.5}, step)

    assert 0 < lane.dropped_rows
    assert lane.control.lane_bytes <= 1 << 20
    assert lane.control.lane_bytes == lane.control.high_water_bytes


def test_a_record_larger_than_a_term(address: Address, small_terms: None) -> None:
    """It gets a term of its own size."""
    lane = open_lane(address, max_bytes=1 << 20)
    for length in (100, 20_000, 100, 200_000, 100):
        lane.log_message(LogLevel.INFO, "x" * length)

    records = read_all(LaneConsumer(address, lane.lane)).records

    assert [100, 20_000, 100, 200_000, 100] == [len(record.message) for record in records]


def test_a_record_larger_than_the_buffer(address: Address) -> None:
    """It raises with both sizes, and costs no other record."""
    lane = open_lane(address, max_bytes=SMALL)
    lane.log_message(LogLevel.INFO, "before")

    with pytest.raises(RecordTooLargeError) as caught:
        lane.log_message(LogLevel.INFO, "x" * 100_000)
    with pytest.raises(RecordTooLargeError):
        lane.log_vector({f"k{n}": 1.5 for n in range(10_000)})
    lane.log_message(LogLevel.INFO, "after")

    assert SMALL == caught.value.limit_bytes
    assert 100_000 < caught.value.record_bytes
    assert ["before", "after"] == [
        record.message
        for record in read_all(LaneConsumer(address, lane.lane)).records
        if isinstance(record, wire.Log)
    ]


def test_a_record_that_needs_the_open_terms_memory(address: Address) -> None:
    """The open term is given up to the writer where nothing else can make room."""
    lane = open_lane(address, max_bytes=SMALL)
    with Drain(LaneConsumer(address, lane.lane)) as drain:
        for number in range(6):
            lane.log_message(LogLevel.INFO, str(number))
            lane.log_message(LogLevel.INFO, str(number) * 40_000)
        lane.close(RunStatus.FINISHED, None, DEADLINE_S)

    logs = [record.message for record in drain.records if isinstance(record, wire.Log)]
    assert [str(n) * length for n in range(6) for length in (1, 40_000)] == logs


def test_a_row_and_its_names_need_one_term(address: Address) -> None:
    """Where the names and the values fit into a term each, but not together, one is made."""
    lane = open_lane(address, max_bytes=SMALL)
    wide = {f"a rather long name {n:04}": 1.5 for n in range(750)}
    with Drain(LaneConsumer(address, lane.lane)) as drain:
        for step in range(5):
            lane.log_vector(wide, step)
            lane.log_vector({"a": 0.5}, step)
        lane.close(RunStatus.FINISHED, None, DEADLINE_S)

    assert [(step, row) for step in range(5) for row in (wide, {"a": 0.5})] == (
        rows_of(drain.records)
    )


def no_memory_for(monkeypatch: pytest.MonkeyPatch, *slots: int) -> None:
    """Making the terms with these numbers, in the order of their making, fails with ENOSPC."""
    real = segment.create
    made: set[str] = set()

    def create(place: str, name: str, size: int) -> segment.Segment:
        if name.count("-") == 3:
            if len(made) in slots:
                raise OSError(28, "No space left on device")
            made.add(name)
        return real(place, name, size)

    monkeypatch.setattr(segment, "create", create)


def test_a_full_place_leaves_what_there_is(
    address: Address, small_terms: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one term and no room for a second, the one is written and used again."""
    no_memory_for(monkeypatch, 1)
    lane = open_lane(address, max_bytes=1 << 20)
    with Drain(LaneConsumer(address, lane.lane)) as drain:
        for step in range(3_000):
            lane.log_vector({"a": 0.5}, step)
        lane.close(RunStatus.FINISHED, None, DEADLINE_S)

    assert list(range(3_000)) == steps_of(drain.records)
    assert 16 * 1024 == lane.control.lane_bytes


def test_no_memory_at_all(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lane without its first term is an error, and leaves no control behind."""
    no_memory_for(monkeypatch, 0)

    with pytest.raises(SharedMemoryError, match="No space left"):
        open_lane(address)

    assert [] == [
        name
        for name in places.list_names(address.place)
        if name.startswith(address.segment() + "-")
    ]


def test_a_worker_without_a_descriptor(
    address: Address, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It drops its rows and says what to do about descriptors, not about memory."""
    owner = open_lane(address)
    worker = producer.LaneProducer(address, make_hello(), gate=RunGate.attach(address, owner.lane))

    def create(place: str, name: str, size: int) -> segment.Segment:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(segment, "create", create)
    worker.log_vector({"a": 0.5})
    worker.log_vector({"a": 0.5})

    assert 2 == worker.dropped_rows == owner.control.laneless_drops
    (message,) = caplog.messages
    assert "ulimit -n" in message
    assert "Too many open files" in message
    assert "/dev/shm" not in message


# -- dropping and waiting ------------------------------------------------------------


@pytest.mark.parametrize("metrics", [1, 30])
def test_drops_are_counted_and_seen(
    address: Address, small_terms: None, settled: None, metrics: int
) -> None:
    """Rows that found no room are counted, and stand between the others in the lane's numbering."""
    lane = open_lane(address, max_bytes=SMALL, overflow="drop")
    consumer = LaneConsumer(address, lane.lane)
    row = {f"k{n}": 0.5 for n in range(metrics)}
    kept: list[tuple[int, int]] = []  # number in the lane, step
    for step in range(6_000):
        lane.log_vector(row, step)
        if step % 2_500 == 2_499:
            kept += numbered_rows(consumer)
    kept += numbered_rows(consumer)
    lane.close(RunStatus.FINISHED, None, DEADLINE_S)
    kept += numbered_rows(consumer)

    assert 0 < lane.dropped_rows == consumer.dropped_rows
    assert 6_000 == consumer.rows
    assert 6_000 - lane.dropped_rows == len(kept)
    # One thread logs, so a row's number is its step, dropped ones counted.
    assert [step for _, step in kept] == [number for number, _ in kept]
    assert consumer.at_end()


@pytest.mark.parametrize("metrics", [31, 32, 33, 34])  # so much else is left in a term
def test_a_row_that_still_fits_comes_behind_the_dropped_ones(
    address: Address, small_terms: None, settled: None, metrics: int
) -> None:
    """A full term has room for shorter rows; what was dropped before them is told first."""
    lane = open_lane(address, max_bytes=SMALL, overflow="drop")
    for step in range(1_000):
        lane.log_vector({f"k{n}": 1 if lane.dropped_rows else 0.5 for n in range(metrics)}, step)
    consumer = LaneConsumer(address, lane.lane)
    kept = numbered_rows(consumer)
    lane.close(RunStatus.FINISHED, None, DEADLINE_S)

    assert [step for _, step in kept] == [number for number, _ in kept]
    assert lane.dropped_rows == 1_000 - len(kept)


def numbered_rows(consumer: LaneConsumer) -> list[tuple[int, int]]:
    batch = read_all(consumer)
    consumer.release()
    number, found = batch.first_row, []
    for record in batch.records:
        if isinstance(record, wire.Vector):
            found.append((number, record.step or 0))
            number += 1
        elif isinstance(record, wire.Drop):
            number += record.rows
    return found


def test_records_behind_many_failed_calls_are_seen(address: Address) -> None:
    """Failed calls use up index entries; what is published behind them is taken at once."""
    lane = open_lane(address)
    consumer = LaneConsumer(address, lane.lane)
    lane.log_vector({"a": 0.5}, 0)
    for _ in range(1000):
        with pytest.raises(TypeError):
            lane.log_vector({"a": Addable()})
    lane.log_vector({"a": 0.5}, 1)
    number = lane.request_flush(1)

    records = read_all(consumer).records

    assert [0, 1] == steps_of(records)
    assert [number] == [record.number for record in records if isinstance(record, wire.Flush)]


def test_what_is_no_row_is_never_dropped(address: Address, small_terms: None) -> None:
    """With overflow=drop, too, a message waits for room."""
    lane = open_lane(address, max_bytes=SMALL, overflow="drop")
    while not lane.dropped_rows:
        lane.log_vector({"a": 0.5})
    with Drain(LaneConsumer(address, lane.lane)) as drain:
        lane.log_message(LogLevel.INFO, "x" * 10_000)
        lane.close(RunStatus.FINISHED, None, DEADLINE_S)

    assert 1 == len([record for record in drain.records if isinstance(record, wire.Log)])


def test_block_waits_until_there_is_room(address: Address, small_terms: None) -> None:
    """A full lane waits; it goes on when memory is given back, and loses nothing."""
    waiting = threading.Event()

    def on_wait() -> bool:
        waiting.set()
        return True

    lane = open_lane(address, max_bytes=SMALL, on_wait=on_wait)
    consumer = LaneConsumer(address, lane.lane)
    count = 10_000
    thread = threading.Thread(target=lambda: [lane.log_vector({"a": 0.5}, n) for n in range(count)])
    thread.start()
    assert waiting.wait(DEADLINE_S)
    assert thread.is_alive()

    with Drain(consumer) as drain:
        thread.join(DEADLINE_S)

    assert list(range(count)) == steps_of(drain.records)
    assert 0 == lane.dropped_rows


def test_no_writer_will_come(address: Address, small_terms: None) -> None:
    """Then nobody waits: rows are dropped and counted, flush and close say no."""
    lane = open_lane(address, max_bytes=SMALL, on_wait=lambda: False)
    while not lane.dropped_rows:
        lane.log_vector({"a": 0.5})
    lane.log_message(LogLevel.INFO, "x" * 10_000)  # returns

    assert 1 == lane.dropped_rows
    while lane.request_flush(DEADLINE_S) is not None:  # marks go into what room is left
        pass
    assert not lane.close(RunStatus.FINISHED, None, DEADLINE_S)
    assert 0 == lane.control.sealed


# -- flush and close ------------------------------------------------------------


def test_flush_marks_are_numbered(address: Address) -> None:
    """Each stands behind everything that was logged before it."""
    lane = open_lane(address)
    lane.log_vector({"a": 0.5}, 0)
    assert 1 == lane.request_flush(1)
    lane.log_vector({"a": 0.5}, 1)
    assert 2 == lane.request_flush(1)

    kinds = [type(record) for record in read_all(LaneConsumer(address, lane.lane)).records]

    assert [wire.Schema, wire.Vector, wire.Flush, wire.Vector, wire.Flush] == kinds


def test_flush_gives_up_in_time(address: Address, small_terms: None) -> None:
    """Without room for the mark, or while another thread waits for room, it returns None."""
    waiting = threading.Event()
    give_up = threading.Event()

    def on_wait() -> bool:
        waiting.set()
        return not give_up.is_set()

    lane = open_lane(address, max_bytes=SMALL, on_wait=on_wait)
    thread = threading.Thread(target=lambda: [lane.log_vector({"a": 0.5}, n) for n in range(9_000)])
    thread.start()
    assert waiting.wait(DEADLINE_S)

    assert lane.request_flush(0.01) is None
    assert not lane.close(RunStatus.FINISHED, None, 0.01)

    give_up.set()
    thread.join(DEADLINE_S)


def test_the_sentinel_is_last(address: Address) -> None:
    """close() publishes it, seals the lane, and may be called again; logging raises."""
    lane = open_lane(address)
    lane.log_vector({"a": 0.5}, 0)
    assert lane.close(RunStatus.FAILED, "broken", 1)
    assert lane.close(RunStatus.FINISHED, None, 1)
    for call in (
        lambda: lane.log_vector({"a": 0.5}, 1),
        lambda: lane.log_vector({"b": 0.5}, 1),
        lambda: lane.log_message(LogLevel.INFO, "late"),
        lambda: lane.log_scalar("a", 1),
        lambda: lane.request_flush(1),
    ):
        with pytest.raises(RunClosedError):
            call()

    consumer = LaneConsumer(address, lane.lane)
    records = read_all(consumer).records

    assert [wire.Schema, wire.Vector, wire.Sentinel] == [type(record) for record in records]
    assert (RunStatus.FAILED, "broken") == (records[-1].status, records[-1].reason)
    assert consumer.at_end()


def test_every_kind_of_record(address: Address) -> None:
    """Each method publishes its record, in the order of the calls."""
    lane = open_lane(address)
    lane.log_scalar("s", "text")
    lane.log_params({"a": [1, None]})
    lane.log_message(LogLevel.WARN, "line")
    lane.save_artifact("/from", None, "to")

    records = read_all(LaneConsumer(address, lane.lane)).records

    assert [
        wire.Scalar(0, records[0].logged_at_ns, "s", "text"),
        wire.Params(1, records[1].logged_at_ns, {"a": [1, None]}),
        wire.Log(2, records[2].logged_at_ns, LogLevel.WARN, "line"),
        wire.Artifact(3, records[3].logged_at_ns, "/from", None, "to"),
    ] == records


# -- claiming ------------------------------------------------------------


def test_names_cannot_be_guessed(address: Address) -> None:
    """What another user sees of the names does not give him those to come."""
    first, second = open_lane(address), open_lane(address)

    numbers = [
        int(name.split("-")[-1]) for lane in (first, second) for name in terms_of(address, lane)
    ]
    numbers += [first.lane, second.lane]
    assert len(numbers) == len(set(numbers)) == 6
    assert all(number > 2**32 for number in numbers)


def test_an_address_that_is_gone() -> None:
    """Nobody claims a lane that no writer will look for."""
    with pytest.raises(FileNotFoundError):
        producer.LaneProducer(Address.fresh(places.SHM), make_hello(), revive=False)


def test_a_forked_child_does_not_log_into_the_parents_lane(address: Address) -> None:
    """Its first record claims a lane of its own, whoever held the parent's lock at the fork."""
    lane = open_lane(address)
    lane.log_vector({"a": 0.5}, 0)
    with lane._own.lock:
        child = os.fork()
        if not child:
            status = 1
            try:
                lane.forget()
                lane.log_vector({"a": 0.5}, 1)
                status = 0
            finally:
                os._exit(status)
    assert (child, 0) == os.waitpid(child, 0)

    (childs,) = lane_numbers(address) - {lane.lane}
    assert [0] == steps_of(read_all(LaneConsumer(address, lane.lane)).records)
    assert [1] == steps_of(read_all(LaneConsumer(address, childs)).records)


# -- calls from within calls ------------------------------------------------------------


def test_rows_of_two_sizes_that_take_turns_keep_their_numbers(
    address: Address, small_terms: None
) -> None:
    """The long row is dropped again and again, the short one fits: each drop comes first."""
    lane = open_lane(address, max_bytes=SMALL, overflow="drop")
    for step in range(3_000):
        lane.log_vector({"text": "x" * 2_000} if step % 2 else {"loss": 0.5}, step)
    kept = numbered_rows(LaneConsumer(address, lane.lane))
    lane.close(RunStatus.FINISHED, None, DEADLINE_S)

    assert 0 < lane.dropped_rows
    assert [step for _, step in kept] == [number for number, _ in kept]


@pytest.fixture
def alarm() -> Iterator[None]:
    """SIGVTALRM as it was, afterwards; SIGALRM is for the timeouts of the tests.

    What earlier tests left to the garbage collector ends before: a finalizer that runs amid a call
    swallows what a handler raises in it, and is not part of the call.
    """
    before = signal.getsignal(signal.SIGVTALRM)
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.signal(signal.SIGVTALRM, before)


def test_a_signal_handlers_exception_is_the_callers(address: Address, alarm: None) -> None:
    """A TimeoutError that a handler raises in the middle of a call comes out of it."""
    lane = open_lane(address, max_bytes=64 << 20, overflow="drop")
    raised = 0

    def on_alarm(*_: object) -> None:
        nonlocal raised
        raised += 1
        raise TimeoutError

    signal.signal(signal.SIGVTALRM, on_alarm)
    caught = 0
    row = {"a": 0.5}
    while raised < 30:
        try:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0.0005)
            for step in range(10**7):
                lane.log_vector(row, step)
        except TimeoutError:
            caught += 1

    assert raised == caught


def test_an_exception_while_a_term_is_made(
    address: Address, small_terms: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler's TimeoutError, which is an OSError, is not taken for a lack of memory."""
    real = segment.create
    lane = open_lane(address, max_bytes=1 << 20)

    def create(place: str, name: str, size: int) -> segment.Segment:
        real(place, name, size).close()
        monkeypatch.setattr(segment, "create", real)
        raise TimeoutError

    monkeypatch.setattr(segment, "create", create)
    published = 0

    def log(count: int) -> None:
        nonlocal published
        for _ in range(count):
            lane.log_vector({"a": 0.5}, published)
            published += 1

    with pytest.raises(TimeoutError):
        log(3_000)
    log(3_000)  # goes on growing
    lane.close(RunStatus.FINISHED, None, 1)

    assert list(range(published)) == steps_of(read_all(LaneConsumer(address, lane.lane)).records)


@pytest.mark.parametrize("overflow", ["block", "drop"])
def test_a_signal_handler_that_logs(
    address: Address, small_terms: None, alarm: None, overflow: str
) -> None:
    """Wherever it interrupts the main thread, its own rows and the interrupted ones arrive once."""
    lane = open_lane(address, max_bytes=SMALL, overflow=overflow)
    handled = 0

    def on_alarm(*_: object) -> None:
        nonlocal handled
        lane.log_vector({"a": 0.5}, -1 - handled)
        handled += 1
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0003)

    signal.signal(signal.SIGVTALRM, on_alarm)
    count = 0
    with Drain(LaneConsumer(address, lane.lane)) as drain:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0003)
        while handled < 30:
            for _ in range(100):
                lane.log_vector({"a": 0.5}, count)
                count += 1
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        lane.close(RunStatus.FINISHED, None, DEADLINE_S)

    steps = [step for step in steps_of(drain.records) if step is not None]
    assert [] == drain.problems
    assert len(steps) == len(set(steps))
    assert count + handled - lane.dropped_rows == len(steps)
    assert rows_of(drain.records)  # every row finds its names
    assert sorted(own := [step for step in steps if step >= 0]) == own


def test_a_finalizer_that_logs_while_a_term_opens(
    address: Address, small_terms: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call in the middle of opening a term, at each of its steps, leads to no shared slot."""
    lane = open_lane(address, max_bytes=1 << 20)
    logged = 0
    inside = False

    def log_from_within(*_: object) -> None:
        nonlocal logged, inside
        if inside:
            return
        inside = True
        for _ in range(300):
            lane.log_vector({"a": 0.5}, logged)
            logged += 1
        inside = False

    def wrap(owner: Any, name: str, *, before: bool) -> None:
        real = getattr(owner, name)

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if before:
                log_from_within()
            result = real(*args, **kwargs)
            if not before:
                log_from_within()
            return result

        monkeypatch.setattr(owner, name, wrapper)

    wrap(ring_of(lane), "_find_slot", before=True)
    wrap(ring_of(lane), "_find_slot", before=False)
    wrap(ring_of(lane), "seal", before=True)
    wrap(ring_of(lane), "seal", before=False)
    wrap(ring_of(lane), "_show", before=True)
    wrap(ring_of(lane), "_unreleased", before=False)
    wrap(TermData, "fill", before=True)
    with Drain(LaneConsumer(address, lane.lane)) as drain:
        while logged < 10_000:
            lane.log_vector({"a": 0.5}, logged)
            logged += 1
        inside = True
        lane.close(RunStatus.FINISHED, None, DEADLINE_S)

    assert [] == drain.problems
    assert logged == len(rows_of(drain.records))


def test_memory_that_became_too_small_is_given_back(address: Address) -> None:
    """Also that which the writer has mapped: records that grow do not add up."""
    lane = open_lane(address, max_bytes=4 << 20)
    consumer = LaneConsumer(address, lane.lane)
    for size in range(200_000, 900_000, 7000):
        lane.log_message(LogLevel.INFO, "x" * size)
        assert 1 == read_all(consumer).count
        consumer.release()
    slots = consumer.memory._slots.values()
    assert sum(map(len, slots)) > 8 << 20
    assert sum(len(slot) for slot in slots if any(slot[:64])) <= 4 << 20
    consumer.close()
