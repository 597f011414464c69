"""What a worker is told at the end of its run is what is taken, by this writer and every other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lanes import fresh_address, make_hello, ring_of

from expman.errors import RunClosedError
from expman.transport import encoding, open_term
from expman.transport import records as wire
from expman.transport.address import lane_numbers
from expman.transport.batch import Batch
from expman.transport.consumer import LaneConsumer
from expman.transport.gate import RunGate
from expman.transport.layout import GAP_ENTRIES
from expman.transport.places import list_names
from expman.transport.producer import LaneProducer
from expman.transport.segment import Address
from expman.writer.polling import drain


@pytest.fixture
def address() -> Iterator[Address]:
    """An address with nobody at it."""
    with fresh_address() as made:
        yield made


@pytest.fixture
def owner(address: Address) -> LaneProducer:
    """The owner of a run."""
    return LaneProducer(address, make_hello())


@pytest.fixture
def worker(address: Address, owner: LaneProducer) -> LaneProducer:
    """A worker of that run, with a lane that has one row."""
    found = LaneProducer(address, owner._own.hello, gate=RunGate.attach(address, owner.lane))
    found.log_vector({"n": 0})
    return found


def values(lane: LaneConsumer) -> list[object]:
    """Takes what there is; the values of its rows."""
    found: list[object] = []
    for _ in range(5):
        records = lane.poll().records
        found += [record.values[0] for record in records if isinstance(record, wire.Vector)]
    return found


def end(lane: LaneConsumer) -> list[object]:
    """Ends the run as the writer does; the values that it took."""
    lane.set_closing()
    taken = values(lane)
    lane.set_cutoff()
    return taken


def test_a_row_before_the_cutoff_is_taken(address: Address, worker: LaneProducer) -> None:
    """A call that was in time returns, the next one raises."""
    lane = LaneConsumer(address, worker.lane)
    worker.log_vector({"n": 1})
    assert [0, 1] == end(lane)
    for _ in range(2):
        with pytest.raises(RunClosedError):
            worker.log_vector({"n": 2})


def test_nobody_takes_what_was_refused(address: Address, worker: LaneProducer) -> None:
    """Neither this writer nor a successor takes a row whose call raised."""
    lane = LaneConsumer(address, worker.lane)
    assert [0] == end(lane)
    with pytest.raises(RunClosedError):
        worker.log_vector({"n": 1})
    assert [] == values(lane)
    lane.close()
    assert [0] == values(LaneConsumer(address, worker.lane))


def test_a_refused_row_in_a_term_of_its_own(address: Address, worker: LaneProducer) -> None:
    """The same where the next row opened a new term."""
    lane = LaneConsumer(address, worker.lane)
    assert [0] == end(lane)
    with pytest.raises(RunClosedError):
        worker.log_message("INFO", "x" * 300_000)  # type: ignore[arg-type]
    assert [] == values(lane)
    assert [] == lane.poll().problems
    assert [0] == values(LaneConsumer(address, worker.lane))


@pytest.mark.parametrize("appended", [True, False])
def test_a_thread_that_was_overtaken(
    address: Address, worker: LaneProducer, appended: bool
) -> None:
    """Its call returns if its record lay before a taken one, and raises if it came after it."""
    lane = LaneConsumer(address, worker.lane)
    term = ring_of(worker).term
    cutoff = worker._own.claimed.cutoff
    assert cutoff is not None
    slow = next(term.index.ordinals)
    payload = encoding.encode((encoding.VECTOR, slow, 3, None, 0, (7,)))
    if appended:
        term.data.write(payload)
    worker.log_vector({"n": 1})
    assert ([0, 7, 1] if appended else [0, 1]) == end(lane)
    if not appended:
        term.data.write(payload)
    term.index.lengths[slow] = len(payload)
    if appended:
        cutoff.wait(term.serial, slow)
    else:
        with pytest.raises(RunClosedError):
            cutoff.wait(term.serial, slow)
    assert [] == values(lane)
    successor = LaneConsumer(address, worker.lane)
    assert ([0, 7, 1] if appended else [0, 1]) == values(successor)


def test_the_first_cutoff_stays(address: Address, worker: LaneProducer) -> None:
    """A row that came after it is refused, also once its term is sealed and the end goes on."""
    lane = LaneConsumer(address, worker.lane)
    watch, term = worker._own.claimed.cutoff, ring_of(worker).term
    assert watch is not None
    assert [0] == end(lane)
    slow = next(term.index.ordinals)  # a thread that is held up before it looks at CLOSING
    term.index.lengths[slow] = term.data.write(
        encoding.encode((encoding.VECTOR, slow, 3, None, 0, (7,)))
    )
    ring_of(worker).seal(term)  # another thread opens the next term
    for consumer in (lane, LaneConsumer(address, worker.lane)):
        values(consumer)
        consumer.set_cutoff()
        with pytest.raises(RunClosedError):
            watch.wait(term.serial, slow)


def test_the_first_record_comes_too_late(
    address: Address, owner: LaneProducer, worker: LaneProducer
) -> None:
    """A worker without a lane claims none once the run is closing."""
    late = LaneProducer(address, owner._own.hello, gate=RunGate.attach(address, owner.lane))
    LaneConsumer(address, owner.lane).set_closing()
    before = list_names(address.place)
    with pytest.raises(RunClosedError):
        late.log_vector({"n": 1})
    assert [name for name in before if address.token in name] == [
        name for name in list_names(address.place) if address.token in name
    ]


def test_the_run_begins_to_close_while_a_lane_is_claimed(
    address: Address, owner: LaneProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lane is given back empty and closed: a writer finds nothing in it."""

    class ClosingGate:
        """Sees the run begin to close between its first and its second look."""

        hello = owner._own.hello
        looks = 0

        @property
        def closing(self) -> bool:
            self.looks += 1
            return self.looks > 1

    late = LaneProducer(address, owner._own.hello, gate=ClosingGate())  # type: ignore[arg-type]
    with pytest.raises(RunClosedError):
        late.log_vector({"n": 1})
    (number,) = lane_numbers(address) - {owner.lane}
    lane = LaneConsumer(address, number)
    assert (True, True) == (lane.is_empty(), lane.sealed)
    assert [] == values(lane)
    assert lane.at_end()


class Taken:
    """Stands for the files of a run: keeps what it is given."""

    def __init__(self) -> None:
        self.rows: list[object] = []

    def take(self, lane: LaneConsumer, batch: Batch) -> None:
        self.rows += [one.values[0] for one in batch.records if isinstance(one, wire.Vector)]

    def is_due(self) -> bool:
        """There is never anything to write."""
        return False


def test_the_last_look_takes_all_even_where_stores_are_not_ordered(
    address: Address, worker: LaneProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There a poll takes what the one before it saw: one empty poll is not the end."""
    monkeypatch.setattr(open_term, "_ORDERED_STORES", False)
    files = Taken()
    drain(files, LaneConsumer(address, worker.lane))  # type: ignore[arg-type]
    assert [0] == files.rows


def test_more_threads_were_overtaken_than_a_cutoff_names(
    address: Address, worker: LaneProducer
) -> None:
    """The writer sees it, and waits for them before it stores the cutoff."""
    lane = LaneConsumer(address, worker.lane)
    term = ring_of(worker).term
    slow = [next(term.index.ordinals) for _ in range(GAP_ENTRIES + 1)]
    worker.log_vector({"n": 1})
    assert [0, 1] == values(lane)
    assert lane.passes_over_many
    payload = encoding.encode((encoding.VECTOR, slow[0], 3, None, 0, (7,)))
    term.index.lengths[slow[0]] = term.data.write(payload)
    assert [7] == values(lane)
    assert not lane.passes_over_many
    assert [] == end(lane)
    cutoff = worker._own.claimed.control.cutoff
    assert cutoff is not None
    assert tuple(slow[1:]) == cutoff.gaps
