"""The documented byte map, against the constants, the producer and the consumer."""

from __future__ import annotations

import re
import struct

import pytest
from lanes import HandLane, encode_record, lay, make_hello, open_lane, publish, read_all

from expman.models import LogLevel, RunStatus
from expman.transport import address_control, encoding, lane_words, layout, segment
from expman.transport import records as wire
from expman.transport.consumer import LaneConsumer
from expman.transport.hello import decode_hello
from expman.transport.segment import Address

_ENTRY = re.compile(r"^ +(\d+)  ([A-Z_]+) ")


def documented() -> dict[str, dict[str, int]]:
    """Names and byte offsets of the lines of the byte map, by the segment's first words."""
    maps: dict[str, dict[str, int]] = {}
    pages = [module.__doc__ or "" for module in (address_control, lane_words, layout)]
    for line in "\n".join(pages).splitlines():
        if line.endswith("::"):
            maps[line] = {}
        elif match := _ENTRY.match(line):
            list(maps.values())[-1][match[2]] = int(match[1])
    return maps


def test_every_word_stands_where_the_map_says() -> None:
    """The constants are word numbers; texts and tables are given by their byte or first word."""
    known = [pair for words in documented().values() for pair in words.items()]

    for name, offset in known:
        if name == "MAGIC":
            continue
        byte = getattr(layout, f"{name}_OFFSET", None)
        if byte is None:
            byte = 8 * getattr(layout, name)
        assert offset == byte, name
    assert len(known) >= 20


def test_words_do_not_overlap() -> None:
    """No two words of one segment share their bytes; the tables end before the hello."""
    for words in documented().values():
        assert len(words) == len(set(words.values()))
    ends = layout.TERM_TABLE + layout.TERM_WORDS * layout.TERM_ENTRIES
    assert ends <= layout.START_TABLE
    ends = layout.START_TABLE + layout.START_WORDS * layout.TERM_ENTRIES
    assert ends <= layout.SEQ_BASE
    assert 8 * (layout.GAP_TABLE + layout.GAP_ENTRIES) <= layout.WRITE_ERROR_OFFSET
    assert layout.WRITE_ERROR_OFFSET + 2048 <= layout.CONTROL_BYTES


@pytest.mark.parametrize("size", [8192, 16384, 65536, 262144, 8 << 20, 12_288 + 4096 * 7])
def test_data_fills_before_the_index(size: int) -> None:
    """A term has an entry for each of the shortest records, and its data begins aligned."""
    entries, start = layout.index_entries(size), layout.data_offset(size)

    assert 0 == start % 8
    assert layout.INDEX_OFFSET + 4 * entries <= start
    assert (size - start) // layout.MIN_RECORD_BYTES <= entries


def test_no_record_is_shorter_than_the_layout_assumes() -> None:
    """The shortest record of each kind, today and at ordinal 0."""
    now = 1_700_000_000_000_000_000
    shortest = min(
        len(encoding.encode((tag, 0, now, *fields)))
        for tag, *fields in (
            (encoding.VECTOR, None, 0, ()),
            (encoding.SCHEMA, 0, ()),
            (encoding.PARAMS, {}),
            (encoding.FLUSH, 0),
            (encoding.DROP, 0),
        )
    )

    assert layout.MIN_RECORD_BYTES <= shortest


def test_a_lane_laid_by_hand_is_read(address: Address) -> None:
    """The consumer reads exactly the documented bytes."""
    lane = HandLane(address)
    term = lane.start()
    first, second = encode_record(0, "one"), encode_record(1, "two")
    position = lay(term, lay(term, 0, first), second)
    publish(term, 0, len(first))
    publish(term, 1, len(second))
    lane.seal(0, position)
    lane.word(72, 1)
    lane.word(80, 7)

    consumer = LaneConsumer(address, 0)
    batch = read_all(consumer)

    assert make_hello() == consumer.hello
    assert ["one", "two"] == [record.message for record in batch.records]
    assert (0, 0, []) == (batch.first_row, batch.first_record, batch.problems)
    assert 7 == consumer.dropped_rows
    assert consumer.at_end()


def test_the_consumer_writes_where_the_map_says(address: Address) -> None:
    """Released and drained terms and the start of the next one, by plain offsets."""
    lane = HandLane(address)
    term = lane.start()
    payload = encode_record(0)
    lay(term, 0, payload)
    publish(term, 0, len(payload))
    lane.seal(0, len(payload))
    lane.word(72, 1)
    consumer = LaneConsumer(address, 0)
    read_all(consumer)

    consumer.release()

    assert 1 == lane.read_word(128)
    assert 1 == lane.read_word(136)
    # Entry 1 of the start table: serial + 1, rows, records, dropped rows.
    assert (2, 0, 1, 0) == struct.unpack_from("=QQQQ", lane.control, 2816 + 32)
    assert not any(term[64:])


def test_the_producer_writes_where_the_map_says(address: Address) -> None:
    """What a producer wrote, read by plain offsets."""
    producer = open_lane(address, max_bytes=1 << 20)
    producer.log_message(LogLevel.WARN, "mind the gap")
    producer.close(RunStatus.FINISHED, None, 1)

    control = segment.attach(address.place, f"expman-{address.token}-{producer.lane}").map()
    slot, sealed = struct.unpack_from("=QQ", control, 256)
    name = f"expman-{address.token}-{producer.lane}-{slot}"
    term = segment.attach(address.place, name).map()
    (hello_bytes,) = struct.unpack_from("=Q", control, 16)
    opened, closed, dropped, high_water, lane_bytes = struct.unpack_from("=5Q", control, 64)
    slot, sealed, rows, records, drops = struct.unpack_from("=5Q", control, 256)
    version, entries, start = struct.unpack_from("=QQQ", term, 8)
    lengths = struct.unpack_from("=III", term, 64)
    assert [layout.OTHER, layout.OTHER] == [length & layout.OTHER for length in lengths[:2]]
    lengths = tuple(length & ~layout.OTHER for length in lengths)
    first = term[start : start + lengths[0]]
    second = term[start + lengths[0] : start + lengths[0] + lengths[1]]

    assert b"expmanL1" == control[:8]
    assert (3,) == struct.unpack_from("=Q", control, 8)
    hello = decode_hello(control[8192 : 8192 + hello_bytes])
    assert make_hello(max_buffer_bytes=1 << 20) == hello
    assert (1, 1, 0) == (opened, closed, dropped)
    assert (len(term), 2 * len(term)) == (high_water, lane_bytes)
    assert lengths[0] + lengths[1] + 1 == sealed
    assert (0, 2, 0) == (rows, records, drops)
    assert b"expmanT1" == term[:8]
    assert (3, (len(term) - 64) // 16, layout.data_offset(len(term))) == (version, entries, start)
    assert 0 == lengths[2]
    assert "mind the gap" == wire.decode_one(first).message  # type: ignore[union-attr]
    assert wire.Sentinel(1, wire.decode_one(second).logged_at_ns, RunStatus.FINISHED, None) == (
        wire.decode_one(second)
    )
    assert not any(term[start + lengths[0] + lengths[1] :])
