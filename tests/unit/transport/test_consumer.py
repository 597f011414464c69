"""The consuming end, over bytes laid by hand: interleavings, gaps, deaths, damage, successors."""

from __future__ import annotations

import itertools
import mmap
import struct
from typing import Any

import pytest
from lanes import (
    DATA_OFFSET,
    TERM_BYTES,
    HandLane,
    encode_record,
    encode_row,
    lay,
    publish,
    read_all,
    wait_for,
)

from expman.errors import CorruptLaneError, LayoutVersionError
from expman.transport import batch as batch_module
from expman.transport import encoding, layout, open_term, release
from expman.transport import records as wire
from expman.transport.consumer import LaneConsumer
from expman.transport.segment import Address


@pytest.fixture
def lane(address: Address) -> HandLane:
    return HandLane(address)


@pytest.fixture
def term(lane: HandLane) -> mmap.mmap:
    """The lane's first term, open and empty."""
    return lane.start()


@pytest.fixture
def consumer(lane: HandLane, term: mmap.mmap) -> LaneConsumer:
    return LaneConsumer(lane.address, 0)


def messages(records: list[wire.Record]) -> list[str]:
    return [record.message for record in records if isinstance(record, wire.Log)]


def read(consumer: LaneConsumer, *, dead: bool = False) -> list[str]:
    """Messages that can be had now; nothing of it may be unreadable."""
    batch = read_all(consumer, dead=dead)
    assert [] == batch.problems
    return messages(batch.records)


def put(term: mmap.mmap, position: int, ordinal: int, text: str) -> int:
    """Appends and publishes."""
    payload = encode_record(ordinal, text)
    publish(term, ordinal, len(payload))
    return lay(term, position, payload)


# -- interleavings ------------------------------------------------------------

# Two threads, each with a reserved ordinal: their appends and their stores in every order.
STEPS = ("append 0", "append 1", "store 0", "store 1")
ORDERS = [
    order
    for order in itertools.permutations(STEPS)
    if order.index("append 0") < order.index("store 0")
    and order.index("append 1") < order.index("store 1")
]


@pytest.mark.parametrize("texts", [("a", "b"), ("a", "longer")], ids=["equal", "different"])
@pytest.mark.parametrize("polls", list(itertools.product([False, True], repeat=3)), ids=str)
@pytest.mark.parametrize("order", ORDERS, ids=",".join)
def test_two_threads_in_every_order(
    consumer: LaneConsumer,
    term: mmap.mmap,
    order: tuple[str, ...],
    polls: tuple[bool, ...],
    texts: tuple[str, str],
) -> None:
    """Polled at any moment: what was published is taken, once, in the order of the appends."""
    payloads = [encode_record(ordinal, text) for ordinal, text in enumerate(texts)]
    position, taken = 0, []
    appended: list[str] = []
    for step, poll in zip(order, (*polls, True), strict=True):
        action, number = step.split()
        if action == "append":
            position = lay(term, position, payloads[int(number)])
            appended.append(texts[int(number)])
        else:
            publish(term, int(number), len(payloads[int(number)]))
        if poll:
            taken += read(consumer)

    assert appended == taken
    put(term, position, 2, "later")
    assert ["later"] == read(consumer)


@pytest.mark.parametrize("texts", [("a", "b"), ("a", "longer")], ids=["equal", "different"])
@pytest.mark.parametrize("polled", [False, True])
@pytest.mark.parametrize("moments", range(1, 5))
@pytest.mark.parametrize("order", ORDERS, ids=",".join)
def test_two_threads_die_at_any_moment(
    consumer: LaneConsumer,
    term: mmap.mmap,
    order: tuple[str, ...],
    moments: int,
    polled: bool,
    texts: tuple[str, str],
) -> None:
    """Whatever was published is taken although the other thread's call never returned."""
    payloads = [encode_record(ordinal, text) for ordinal, text in enumerate(texts)]
    position, published, taken = 0, set(), []
    for step in order[:moments]:
        action, number = step.split()
        if action == "append":
            position = lay(term, position, payloads[int(number)])
        else:
            publish(term, int(number), len(payloads[int(number)]))
            published.add(texts[int(number)])
        if polled:
            taken += read(consumer)

    taken += read(consumer, dead=True)

    assert published <= set(taken)
    assert len(taken) == len(set(taken))


def test_nothing_is_taken_before_it_is_published(consumer: LaneConsumer, term: mmap.mmap) -> None:
    """Bytes without an entry are a call that has not returned."""
    lay(term, 0, encode_record(0, "a"))

    assert [] == read(consumer)
    publish(term, 0, len(encode_record(0, "a")))
    assert ["a"] == read(consumer)


def test_gaps_of_failed_calls(consumer: LaneConsumer, term: mmap.mmap) -> None:
    """Entries that stay empty hold nothing up, however many they are."""
    position = put(term, 0, 0, "a")
    position = put(term, position, 3, "b")
    assert ["a", "b"] == read(consumer)
    position = put(term, position, 500, "c")
    assert ["c"] == read(consumer)
    put(term, position, 501, "d")
    assert ["d"] == read(consumer)


def test_an_entry_that_lands_late_is_no_damage(
    consumer: LaneConsumer, term: mmap.mmap, settled: None
) -> None:
    """Its record was taken with a later one; after a quiet time the term is read on."""
    stuck = encode_record(0, "stuck")
    position = put(term, lay(term, 0, stuck), 1, "a")
    assert ["stuck", "a"] == read(consumer)
    publish(term, 0, len(stuck))
    for _ in range(3):
        assert [] == read(consumer)

    put(term, position, 2, "b")

    assert ["b"] == read(consumer)


def test_a_stray_entry_is_no_damage(consumer: LaneConsumer, term: mmap.mmap, settled: None) -> None:
    """An entry without a record, from a thread held up too long, does not end an open term."""
    publish(term, 5, 30)
    for _ in range(3):
        assert [] == read(consumer)

    position = 0
    for ordinal in range(8):
        position = put(term, position, ordinal, str(ordinal))

    assert [str(n) for n in range(8)] == read(consumer)


def test_a_thread_that_is_stuck_alone(
    consumer: LaneConsumer, term: mmap.mmap, settled: None
) -> None:
    """An appended record that waits for its entry is neither taken nor skipped."""
    payload = encode_record(0, "a")
    lay(term, 0, payload)
    for _ in range(3):
        assert [] == read(consumer)

    publish(term, 0, len(payload))

    assert ["a"] == read(consumer)


def test_a_sealed_term_waits_for_entries(
    lane: HandLane, term: mmap.mmap, consumer: LaneConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is not given back while a thread may still store into it; not for ever, though."""
    stuck = encode_record(0, "stuck")
    end = put(term, lay(term, 0, stuck), 1, "a")
    lane.seal(0, end)
    assert ["stuck", "a"] == read(consumer)
    consumer.release()
    assert 0 == lane.read_word(128)

    monkeypatch.setattr(open_term, "SETTLE_S", 0)
    assert [] == read(consumer)
    consumer.release()

    assert 1 == lane.read_word(128)


def test_an_entry_that_landed_lets_the_term_go(
    lane: HandLane, term: mmap.mmap, consumer: LaneConsumer
) -> None:
    """Once the entry is there, nothing is waited for."""
    stuck = encode_record(0, "stuck")
    end = put(term, lay(term, 0, stuck), 1, "a")
    lane.seal(0, end)
    assert ["stuck", "a"] == read(consumer)
    publish(term, 0, len(stuck))

    assert [] == read(consumer)
    consumer.release()

    assert 1 == lane.read_word(128)


def test_records_of_a_sealed_term_need_no_entry(
    lane: HandLane, term: mmap.mmap, consumer: LaneConsumer, settled: None
) -> None:
    """Nothing can be appended any more, so all that is there is whole."""
    end = lay(term, put(term, 0, 0, "a"), encode_record(1, "b"))
    lane.seal(0, end)

    assert ["a", "b"] == read(consumer)


def test_stores_that_show_out_of_order(
    consumer: LaneConsumer, term: mmap.mmap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the processor may reorder, an entry counts only from the second look on."""
    monkeypatch.setattr(open_term, "_ORDERED_STORES", False)
    position = put(term, 0, 0, "a")
    assert [] == consumer.poll().records
    assert ["a"] == messages(consumer.poll().records)
    put(term, position, 3, "b")  # behind a gap
    assert [] == consumer.poll().records
    assert ["b"] == messages(consumer.poll().records)


# -- kinds that are not known ------------------------------------------------------


def put_unknown(term: mmap.mmap, position: int, ordinal: int, *, mark: int) -> int:
    """Appends and publishes a record of a kind that this version does not have."""
    payload = encoding.encode((99, ordinal, 10**18, "new", [1, {"a": None}]))
    publish(term, ordinal, len(payload) | mark)
    return lay(term, position, payload)


@pytest.mark.parametrize("unknown", [{1}, {0}, {0, 1, 2}, {2}])
def test_a_kind_that_is_not_known_keeps_its_bytes(
    lane: HandLane, term: mmap.mmap, unknown: set[int]
) -> None:
    """It counts as a record and not as a row; those around it are taken as ever."""
    position = 0
    for ordinal in range(3):
        if ordinal in unknown:
            position = put_unknown(term, position, ordinal, mark=layout.OTHER)
        else:
            payload = encode_row(ordinal, ordinal)
            publish(term, ordinal, len(payload))
            position = lay(term, position, payload)
    consumer = LaneConsumer(lane.address, 0)

    batch = read_all(consumer)

    assert [] == batch.problems
    assert unknown == {one.ordinal for one in batch.records if isinstance(one, wire.Unknown)}
    assert set(range(3)) - unknown == {
        one.step for one in batch.records if isinstance(one, wire.Vector)
    }
    for one in batch.records:
        if isinstance(one, wire.Unknown):
            assert (99, encoding.encode((99, one.ordinal, 10**18, "new", [1, {"a": None}]))) == (
                one.tag,
                one.encoded,
            )
    assert (3 - len(unknown), 3) == (consumer.rows, consumer.position.records)


def test_a_row_whose_tag_is_damaged_is_not_of_an_unknown_kind(
    lane: HandLane, term: mmap.mmap
) -> None:
    """The index says that it is a row: it is reported as unreadable, and keeps its number."""
    position = put_unknown(term, 0, 0, mark=0)
    payload = encode_row(1, 1)
    publish(term, 1, len(payload))
    lay(term, position, payload)
    consumer = LaneConsumer(lane.address, 0)

    batch = read_all(consumer, dead=True)

    assert [wire.Vector] == [type(record) for record in batch.records]
    assert 1 == len(batch.problems)
    assert 2 == consumer.rows


# -- the producer dies ------------------------------------------------------------


@pytest.mark.parametrize("missing", [1, 5, 9, 12])
@pytest.mark.parametrize("before", [0, 1, 70])
def test_a_torn_last_record_is_ignored(
    consumer: LaneConsumer, term: mmap.mmap, before: int, missing: int
) -> None:
    """The append that a kill interrupted is no record, whatever its bytes decode to."""
    position = 0
    for ordinal in range(before):
        position = put(term, position, ordinal, "whole")
    lay(term, position, encode_record(before, "torn for good")[:-missing])

    assert ["whole"] * before == read(consumer, dead=True)


def test_a_torn_record_that_would_decode(consumer: LaneConsumer, term: mmap.mmap) -> None:
    """Zeros are numbers: a row cut off in its values is one all the same, and is not taken."""
    payload = encoding.encode((encoding.VECTOR, 0, 10**18, 5, 0, (1.5, 2.5)))
    lay(term, 0, payload[:-5])
    assert wire.decode_one(payload[:-5] + bytes(5))

    assert [] == read_all(consumer, dead=True).records


# -- damage ------------------------------------------------------------


def damaged_lane(term: mmap.mmap, count: int = 20) -> list[int]:
    """Publishes records `0` to `count - 1`; gives where each begins."""
    starts, position = [], 0
    for ordinal in range(count):
        starts.append(position)
        position = put(term, position, ordinal, f"{ordinal:03}")
    return starts


@pytest.mark.parametrize("dead", [False, True])
@pytest.mark.parametrize("at", [0, 1, 7, 18])
def test_damage_costs_the_record_alone(
    consumer: LaneConsumer, term: mmap.mmap, at: int, dead: bool, settled: None
) -> None:
    """A first byte that begins no record: that one is left out and named, the others are kept."""
    starts = damaged_lane(term)
    term[DATA_OFFSET + starts[at]] = 0xC1

    batch = read_all(consumer, dead=dead)

    expected = [f"{n:03}" for n in range(20) if n != at]
    assert expected == messages(batch.records)
    (problem,) = batch.problems
    assert DATA_OFFSET + starts[at] == problem.offset
    assert f"{starts[at + 1] - starts[at]} bytes unreadable" == problem.detail


@pytest.mark.parametrize("ordinal_of_4", [4, 6, 10_000], ids=["its own", "another's", "none"])
def test_a_row_whose_header_counts_the_next_rows_among_its_values(
    consumer: LaneConsumer, term: mmap.mmap, settled: None, ordinal_of_4: int
) -> None:
    """It alone is left out: rows of other sets come singly, with nested values as fields.

    So it is if its ordinal is damaged, too.
    """
    position = 0
    for ordinal in range(12):
        values: tuple[object, ...] = (0.5,) * (1 + ordinal % 2)
        written = ordinal_of_4 if ordinal == 4 else ordinal
        row = encoding.encode((encoding.VECTOR, written, 10**18, ordinal, 0, values))
        start, position = position, lay(term, position, row)
        publish(term, ordinal, len(row))
        if ordinal == 4:
            header = DATA_OFFSET + start + len(row) - 9 * len(values) - 1
            assert 0x90 + len(values) == term[header]
            term[header] += 3  # the array has three more items: the next three rows

    batch = read_all(consumer)

    steps = [record.step for record in batch.records if isinstance(record, wire.Vector)]
    assert [step for step in range(12) if step != 4] == steps
    assert 1 == len(batch.problems)


def test_damage_to_the_last_record_of_a_dead_producer(
    consumer: LaneConsumer, term: mmap.mmap
) -> None:
    """It was published, so its loss is named."""
    starts = damaged_lane(term)
    term[DATA_OFFSET + starts[19]] = 0xC1

    batch = read_all(consumer, dead=True)

    assert 19 == len(batch.records)
    assert 1 == len(batch.problems)


@pytest.mark.parametrize("text_byte", [0xFF, 0xC0, 0x80])
def test_text_that_is_no_utf8(
    consumer: LaneConsumer, term: mmap.mmap, text_byte: int, settled: None
) -> None:
    """It is damage like any other, and no exception of poll()."""
    starts = damaged_lane(term)
    term[DATA_OFFSET + starts[6] - 1] = text_byte  # the last letter of 005

    batch = read_all(consumer)

    assert [f"{n:03}" for n in range(20) if n != 5] == messages(batch.records)
    assert 1 == len(batch.problems)


def test_a_damaged_entry_costs_nothing(consumer: LaneConsumer, term: mmap.mmap) -> None:
    """The records tell their own ordinals and ends."""
    damaged_lane(term)
    publish(term, 7, 12345)

    assert [f"{n:03}" for n in range(20)] == read(consumer)


@pytest.mark.parametrize("ordinal", [2**63, 2**64 - 1, 10_000, 5])
def test_a_damaged_ordinal(consumer: LaneConsumer, term: mmap.mmap, ordinal: int) -> None:
    """An impossible ordinal neither fills the memory nor hides the records behind it."""
    position = put(term, 0, 0, "a")
    payload = encode_record(ordinal, "odd")
    publish(term, 1, len(payload))
    position = lay(term, position, payload)
    for number in range(2, 10):
        position = put(term, position, number, str(number))

    assert ["a", "odd", *map(str, range(2, 10))] == read(consumer)


def test_lost_rows_keep_their_numbers(
    consumer: LaneConsumer, term: mmap.mmap, settled: None
) -> None:
    """A row behind damage has the number that it would have had."""
    position = 0
    for ordinal in range(10):
        payload = encode_row(ordinal, ordinal)
        publish(term, ordinal, len(payload))
        if ordinal == 4:
            payload = b"\xc1" * len(payload)
        position = lay(term, position, payload)

    numbers: dict[int, Any] = {}
    for _ in range(20):
        batch = consumer.poll()
        for number, record in enumerate(batch.records, batch.first_row):
            numbers[number] = record.step  # type: ignore[union-attr]

    assert {n: n for n in range(10) if n != 4} == numbers


@pytest.mark.parametrize("earlier", ["a larger ordinal", "an entry that is void"])
def test_lost_rows_keep_their_numbers_after_other_damage(
    lane: HandLane, consumer: LaneConsumer, term: mmap.mmap, settled: None, earlier: str
) -> None:
    """A successor gives rows the numbers that they had before two others were damaged.

    A row with a smaller one would count as written, and be left out.
    """
    place = position = 0
    for ordinal in range(10):
        payload = encode_row(ordinal, ordinal)
        publish(term, ordinal, len(payload))
        place = position if ordinal == 5 else place
        if ordinal == 2 and earlier == "a larger ordinal":
            payload = encode_row(8, ordinal)
        position = lay(term, position, payload)
    before = consumer.poll()
    term[DATA_OFFSET + place] = 0xC1
    if earlier == "an entry that is void":
        publish(term, 2, layout.VOID)
    successor = LaneConsumer(lane.address, 0)

    steps: dict[int, Any] = {}
    for _ in range(20):
        batch = successor.poll()
        for number, record in enumerate(batch.records, batch.first_row):
            steps[number] = record.step  # type: ignore[union-attr]
    assert (0, 10) == (before.first_row, before.count)
    assert {n: n for n in range(10) if n != 5} == steps


def test_deep_nesting_is_no_exception(
    consumer: LaneConsumer, term: mmap.mmap, settled: None
) -> None:
    """Bytes that nest too deeply to be decoded are damage."""
    payload = (
        encoding.encode((encoding.PARAMS, 0, 10**18, {}))[:-1]
        + b"\x81\xa1a"
        + b"\x91" * 5000
        + b"\1"
    )
    publish(term, 0, len(payload))
    put(term, lay(term, 0, payload), 1, "a")

    batch = read_all(consumer)

    assert ["a"] == messages(batch.records)
    assert 1 == len(batch.problems)


@pytest.mark.parametrize("offset", [0, 8])
def test_a_damaged_term_header(lane: HandLane, term: mmap.mmap, offset: int) -> None:
    """It is named once; the records are read, given back and wiped all the same."""
    end = put(term, 0, 0, "a")
    lane.seal(0, end)
    term[offset] ^= 0x55
    consumer = LaneConsumer(lane.address, 0)

    batch = read_all(consumer)
    consumer.release()

    assert ["a"] == messages(batch.records)
    assert 1 == len(batch.problems)
    assert not any(term[64:])


def test_a_term_that_is_gone(lane: HandLane, term: mmap.mmap) -> None:
    """It is named, and the next one is read."""
    lane.seal(0, put(term, 0, 0, "a"), rows=7, records=8)
    second = lane.add_slot(2)
    lane.open_term(1, 2)
    put(second, 0, 0, "b")
    lane.word(256, 1)  # no such slot
    consumer = LaneConsumer(lane.address, 0)

    batch = read_all(consumer)

    assert ["b"] == messages(batch.records)
    assert ["term 0 is gone: 7 rows were in it"] == [one.detail for one in batch.problems]
    assert (7, 9) == (consumer.rows, consumer.position.records)


def test_a_number_of_terms_that_cannot_be(lane: HandLane, term: mmap.mmap) -> None:
    """poll() comes to an end whatever the word says."""
    lane.seal(0, put(term, 0, 0, "a"))
    consumer = LaneConsumer(lane.address, 0)
    lane.word(64, 2**60)
    lane.control[256 + 40 : 2816] = b"\xff" * (2816 - 296)

    batch = read_all(consumer)

    assert ["a"] == messages(batch.records)
    assert 63 == len(batch.problems)


@pytest.mark.parametrize(
    ("released", "drained", "opened"), [(2, 2, 1), (0, 2, 1), (1, 0, 1), (0, 0, 65)]
)
def test_words_that_contradict_each_other(
    lane: HandLane, term: mmap.mmap, released: int, drained: int, opened: int
) -> None:
    """Such a lane is refused, and nothing in it is touched."""
    put(term, 0, 0, "a")
    lane.word(128, released)
    lane.word(136, drained)
    lane.word(64, opened)
    before = term[:]

    with pytest.raises(CorruptLaneError, match=f"{released} terms released"):
        LaneConsumer(lane.address, 0)

    assert before == term[:]


# -- finding a lane ------------------------------------------------------------


def test_no_lane(address: Address) -> None:
    """FileNotFoundError: there is none, or it is not complete yet."""
    with pytest.raises(FileNotFoundError):
        LaneConsumer(address, 0)
    lane = HandLane(address)
    lane.word(16, 0)
    with pytest.raises(FileNotFoundError):
        LaneConsumer(address, 0)


def test_another_version(lane: HandLane) -> None:
    """Both versions are named."""
    lane.word(8, 1)

    with pytest.raises(LayoutVersionError) as caught:
        LaneConsumer(lane.address, 0)

    assert (1, 3) == (caught.value.found, caught.value.expected)


def test_bad_magic(lane: HandLane) -> None:
    """What is no lane is not read."""
    lane.control[0:8] = b"expmanL2"

    with pytest.raises(CorruptLaneError, match="it is not a lane"):
        LaneConsumer(lane.address, 0)


@pytest.mark.parametrize("damage", [b"\xc1", b"\x80", b"\xdf\xff\xff\xff\xff", b"\x81\xa1\xff"])
def test_a_damaged_hello(lane: HandLane, damage: bytes) -> None:
    """CorruptLaneError, whatever msgspec says."""
    lane.control[8192 : 8192 + len(damage)] = damage

    with pytest.raises(CorruptLaneError, match="hello"):
        LaneConsumer(lane.address, 0)


# -- giving back, and successors ------------------------------------------------------------


def two_terms(lane: HandLane, term: mmap.mmap) -> None:
    """A sealed term of three rows, and an open one of two."""
    position = 0
    for ordinal in range(3):
        payload = encode_row(ordinal, ordinal)
        publish(term, ordinal, len(payload))
        position = lay(term, position, payload)
    lane.seal(0, position)
    second = lane.add_slot(1)
    lane.open_term(1, 1)
    position = 0
    for ordinal in range(2):
        payload = encode_row(ordinal, 3 + ordinal)
        publish(second, ordinal, len(payload))
        position = lay(second, position, payload)


def steps_from(consumer: LaneConsumer) -> tuple[int, int, list[int]]:
    batch = read_all(consumer)
    assert [] == batch.problems
    steps = [record.step for record in batch.records if isinstance(record, wire.Vector)]
    return batch.first_row, batch.first_record, [step for step in steps if step is not None]


def test_nothing_is_given_back_by_reading(lane: HandLane, term: mmap.mmap) -> None:
    """A successor of one that never released reads everything again, from row 0."""
    two_terms(lane, term)
    before = term[:]
    assert (0, 0, [0, 1, 2, 3, 4]) == steps_from(LaneConsumer(lane.address, 0))

    assert (0, 0, [0, 1, 2, 3, 4]) == steps_from(LaneConsumer(lane.address, 0))
    assert before == term[:]


def test_a_successor_goes_on_where_was_released(lane: HandLane, term: mmap.mmap) -> None:
    """Terms that were read to their end are wiped; rows and records are numbered on."""
    two_terms(lane, term)
    first = LaneConsumer(lane.address, 0)
    steps_from(first)
    first.release()

    assert not any(term[64:])
    assert (3, 3, [3, 4]) == steps_from(LaneConsumer(lane.address, 0))


class Killed(BaseException):
    """Takes the place of a kill."""


@pytest.mark.parametrize(
    "point", ["release-before-drained", "release-before-wipe", "release-after-wipe"]
)
def test_a_successor_of_one_killed_in_release(
    lane: HandLane, term: mmap.mmap, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each step: every row is had again or was released, and memory given back is zero."""
    two_terms(lane, term)
    first = LaneConsumer(lane.address, 0)
    steps_from(first)

    def reach(name: str) -> None:
        if name == point:
            raise Killed

    monkeypatch.setattr(release, "hit", reach)
    with pytest.raises(Killed):
        first.release()

    second = LaneConsumer(lane.address, 0)
    if point == "release-before-drained":
        assert (0, 0, [0, 1, 2, 3, 4]) == steps_from(second)
        assert 0 == lane.read_word(128)
    else:
        assert 1 == lane.read_word(128)
        assert not any(term[64:])
        assert (3, 3, [3, 4]) == steps_from(second)


def test_a_half_wiped_term_is_wiped(lane: HandLane, term: mmap.mmap) -> None:
    """DRAINED says that its records are written: the successor zeroes it, unread."""
    two_terms(lane, term)
    lane.word(136, 1)  # drained
    struct.pack_into("=QQQ", lane.control, 2816 + 32, 2, 3, 3)
    term[64 : TERM_BYTES // 2] = bytes(TERM_BYTES // 2 - 64)

    assert (3, 3, [3, 4]) == steps_from(LaneConsumer(lane.address, 0))
    assert not any(term[64:])


def test_a_slot_is_used_again(lane: HandLane, term: mmap.mmap) -> None:
    """The third term in the memory of the first one shows nothing of it."""
    two_terms(lane, term)
    consumer = LaneConsumer(lane.address, 0)
    assert [0, 1, 2, 3, 4] == steps_from(consumer)[2]
    consumer.release()
    lane.seal(1, 2 * len(encode_row(0, 3)))
    lane.open_term(2, 0)
    assert (5, 5, []) == steps_from(consumer)

    payload = encode_row(0, 5)
    lay(term, 0, payload)
    publish(term, 0, len(payload))

    assert (5, 5, [5]) == steps_from(consumer)


def test_drops_count_as_rows(consumer: LaneConsumer, term: mmap.mmap) -> None:
    """Dropped rows take part in the numbering."""
    position = 0
    for ordinal, payload in enumerate(
        (encode_row(0, 0), encoding.encode((encoding.DROP, 1, 10**18, 41)), encode_row(2, 42))
    ):
        publish(term, ordinal, len(payload))
        position = lay(term, position, payload)

    read_all(consumer)

    assert (43, 3) == (consumer.rows, consumer.position.records)


def test_removing_a_lane_removes_its_segments_only(lane: HandLane, term: mmap.mmap) -> None:
    """Lane 1 is no part of lane 11."""
    two_terms(lane, term)
    other = HandLane(lane.address, 11)
    other.start()
    one = HandLane(lane.address, 1)
    one.start()

    LaneConsumer(lane.address, 1).remove()

    with pytest.raises(FileNotFoundError):
        LaneConsumer(lane.address, 1)
    assert [] == read(LaneConsumer(lane.address, 11))
    assert [0, 1, 2, 3, 4] == steps_from(LaneConsumer(lane.address, 0))[2]


def test_more_than_a_batch(lane: HandLane, monkeypatch: pytest.MonkeyPatch) -> None:
    """A poll is bounded; the next one goes on."""
    monkeypatch.setattr(batch_module, "BATCH_RECORDS", 100)
    term = lane.start()
    position = 0
    for ordinal in range(250):
        position = put(term, position, ordinal, f"{ordinal}")
    consumer = LaneConsumer(lane.address, 0)

    sizes = [len(consumer.poll().records) for _ in range(4)]

    assert [100, 100, 50, 0] == sizes
    put(term, position, 250, "last")
    assert ["last"] == messages(wait_for(consumer, 1))
