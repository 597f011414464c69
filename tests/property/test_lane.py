"""A lane against a plain list: whatever is logged, read, released, killed or damaged."""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from lanes import DEADLINE_S, fresh_address, open_lane, poll, read_all

from expman.errors import CorruptLaneError, LayoutVersionError, RecordTooLargeError
from expman.models import LogLevel, RunStatus
from expman.transport import layout, open_term, release, ring, segment
from expman.transport import records as wire
from expman.transport.address import lane_numbers
from expman.transport.batch import Batch
from expman.transport.consumer import LaneConsumer

MAX_BYTES = 64 * 1024
TERM_BYTES = 16 * 1024

VALUES = st.one_of(
    st.floats(allow_nan=False),
    st.integers(-(2**63), 2**64 - 1),
    st.booleans(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
)
KEYS = st.sampled_from(["a", "b", "loss", "ä", "x" * 200])
ROWS = st.dictionaries(KEYS, VALUES, max_size=5)


@contextlib.contextmanager
def small_terms() -> Iterator[pytest.MonkeyPatch]:
    """The smallest terms there are, and nothing to wait for: one thread logs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ring, "FIRST_TERM_BYTES", TERM_BYTES)
        patch.setattr(ring, "LARGEST_TERM_BYTES", TERM_BYTES)
        patch.setattr(open_term, "SETTLE_S", 0)
        yield patch


class Killed(BaseException):
    """Takes the place of a kill."""


class LaneMachine(RuleBasedStateMachine):
    """`logged` is what was published; `files` what consumers have written, and how far.

    A row's step is its number in the lane, dropped rows counted, so each row tells whether the
    consumer numbers it right.
    """

    @initialize(overflow=st.sampled_from(["block", "drop"]))
    def start(self, overflow: str) -> None:
        self.stack = contextlib.ExitStack()
        self.patch = self.stack.enter_context(small_terms())
        self.address = self.stack.enter_context(fresh_address())
        self.lane = open_lane(
            self.address, max_bytes=MAX_BYTES, overflow=overflow, on_wait=self.make_room
        )
        self.consumer = LaneConsumer(self.address, self.lane.lane)
        self.logged: list[Any] = []
        self.files: list[Any] = []
        self.next_record = 0
        self.next_step = 0
        self.schemas: dict[int, tuple[str, ...]] = {}

    # -- the producer ---------------------------------------------------------------

    @rule(rows=st.lists(ROWS, min_size=1, max_size=4), times=st.integers(1, 200))
    def log_rows(self, rows: list[dict[str, Any]], times: int) -> None:
        for row in rows * times:
            dropped = self.lane.dropped_rows
            self.lane.log_vector(row, self.next_step)
            if self.lane.dropped_rows == dropped:
                self.logged.append((self.next_step, row))
            self.next_step += 1

    @rule(length=st.integers(0, 4 * TERM_BYTES))
    def log_message(self, length: int) -> None:
        with contextlib.suppress(RecordTooLargeError):
            self.lane.log_message(LogLevel.INFO, "x" * length)
            self.logged.append("x" * length)

    @rule(value=VALUES)
    def log_scalar(self, value: Any) -> None:
        self.lane.log_scalar("key", value)
        self.logged.append(value)

    @rule()
    def flush(self) -> None:
        self.logged.append(self.lane.request_flush(DEADLINE_S))

    @rule(times=st.integers(1, 100))
    def fail(self, times: int) -> None:
        self.log_rows([{"a": 1.0}], 1)  # sets the fast path, which uses ordinals up
        for _ in range(times):
            with contextlib.suppress(TypeError):
                self.lane.log_vector({"a": 1j})

    # -- the consumer ---------------------------------------------------------------

    def write(self, batch: Batch) -> None:
        assert [] == batch.problems
        row = batch.first_row
        for number, record in enumerate(batch.records, batch.first_record):
            new = number >= self.next_record
            match record:
                case wire.Schema():
                    self.schemas[record.schema] = record.keys
                case wire.Vector():
                    assert row == record.step
                    values = dict(zip(self.schemas[record.schema], record.values, strict=True))
                    self.files += [(row, values)] if new else []
                    row += 1
                case wire.Drop():
                    row += record.rows
                case wire.Log():
                    self.files += [record.message] if new else []
                case wire.Scalar():
                    self.files += [record.value] if new else []
                case wire.Flush():
                    self.files += [record.number] if new else []
        self.next_record = max(self.next_record, batch.first_record + len(batch.records))

    @rule()
    def poll(self) -> None:
        self.write(poll(self.consumer))

    @rule()
    def release(self) -> None:
        self.consumer.release()

    def make_room(self) -> bool:
        self.write(read_all(self.consumer))
        self.consumer.release()
        return True

    @rule()
    def replace_consumer(self) -> None:
        self.consumer = LaneConsumer(self.address, self.lane.lane)
        self.schemas.clear()

    @rule(
        point=st.sampled_from(
            ["release-before-drained", "release-before-wipe", "release-after-wipe"]
        )
    )
    def die_in_release(self, point: str) -> None:
        def reach(name: str) -> None:
            if name == point:
                raise Killed

        self.write(read_all(self.consumer))
        with self.patch.context() as patch, contextlib.suppress(Killed):
            patch.setattr(release, "hit", reach)
            self.consumer.release()
        self.replace_consumer()

    def teardown(self) -> None:
        if not hasattr(self, "lane"):
            return
        with self.stack:
            assert self.lane.close(RunStatus.FINISHED, None, DEADLINE_S)
            self.make_room()
            assert self.logged == self.files
            assert self.consumer.at_end()
            assert self.next_step == self.consumer.rows
            assert self.lane.dropped_rows == self.consumer.dropped_rows


LaneMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, print_blob=True)
TestLane = LaneMachine.TestCase


# -- damage ----------------------------------------------------------------------------------

COUNT = 900
DAMAGE = settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])


@contextlib.contextmanager
def full_lane() -> Iterator[tuple[segment.Address, list[mmap.mmap]]]:
    """A lane of COUNT numbered messages; the mappings of its control and of its several terms."""
    with small_terms(), fresh_address() as address:
        lane = open_lane(address, max_bytes=1 << 20)
        for number in range(COUNT):
            lane.log_message(LogLevel.INFO, f"message {number:06}")
        slots = [lane.control.slot(serial) for serial in range(lane.control.opened_terms)]
        names = [address.segment(lane.lane, slot) for slot in (None, *slots)]
        assert len(names) >= 4
        yield address, [segment.attach(address.place, name).map() for name in names]


def read_damaged(address: segment.Address, *, dead: bool) -> list[str] | None:
    """What can be had; None if the lane is refused."""
    (number,) = lane_numbers(address)
    try:
        consumer = LaneConsumer(address, number)
    except (CorruptLaneError, LayoutVersionError, FileNotFoundError):
        return None
    batch = read_all(consumer, dead=dead)
    consumer.release()
    return [record.message for record in batch.records if isinstance(record, wire.Log)]


FLIPS = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, TERM_BYTES - 1), st.integers(1, 255)),
    min_size=1,
    max_size=20,
)


@DAMAGE
@given(flips=FLIPS, dead=st.booleans())
def test_bytes_flipped_anywhere(flips: list[tuple[int, int, int]], dead: bool) -> None:
    """The lane is refused at once, or read to an end: no other exception, no endless loop."""
    with full_lane() as (address, mappings):
        for number, offset, mask in flips:
            mapping = mappings[number % len(mappings)]
            mapping[offset % len(mapping)] ^= mask
        read_damaged(address, dead=dead)


WORDS = st.lists(
    st.tuples(st.integers(0, layout.CONTROL_BYTES // 8 - 1), st.integers(0, 2**64 - 1)),
    min_size=1,
    max_size=4,
)


@DAMAGE
@given(words=WORDS, dead=st.booleans())
def test_words_of_the_control_replaced(words: list[tuple[int, int]], dead: bool) -> None:
    """The same, for any word of the control."""
    with full_lane() as (address, mappings):
        for word, value in words:
            mappings[0][8 * word : 8 * word + 8] = value.to_bytes(8, "little")
        read_damaged(address, dead=dead)


@DAMAGE
@given(
    numbers=st.sets(st.integers(0, COUNT - 1), min_size=1, max_size=20),
    mask=st.integers(1, 255),
    dead=st.booleans(),
)
def test_damaged_text_costs_its_record_alone(numbers: set[int], mask: int, dead: bool) -> None:
    """Every record whose bytes are whole is taken, once and in order."""
    with full_lane() as (address, mappings):
        for number in numbers:
            text = f"message {number:06}".encode()
            mapping, found = next((m, m.find(text)) for m in mappings if m.find(text) >= 0)
            mapping[found + 3] ^= mask

        taken = read_damaged(address, dead=dead)

        assert taken is not None
        intact = [f"message {n:06}" for n in range(COUNT) if n not in numbers]
        whole = set(intact)
        assert intact == [message for message in taken if message in whole]


@DAMAGE
@given(
    entries=st.sets(
        st.tuples(st.integers(0, 7), st.integers(0, 600), st.integers(1, 2**32 - 1)), min_size=1
    )
)
def test_damaged_entries_cost_nothing(entries: set[tuple[int, int, int]]) -> None:
    """Wrong lengths in the index: all records are taken, for they tell their own ends."""
    with full_lane() as (address, mappings):
        for number, ordinal, length in entries:
            mapping = mappings[1 + number % (len(mappings) - 1)]
            mapping[64 + 4 * ordinal : 68 + 4 * ordinal] = length.to_bytes(4, "little")

        assert [f"message {n:06}" for n in range(COUNT)] == read_damaged(address, dead=True)
