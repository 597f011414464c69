"""Lanes for tests: opened, read to their end, or laid byte by byte as `layout` documents them."""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import msgspec

from expman.transport import encoding, places, segment
from expman.transport import records as wire
from expman.transport.address_control import AddressControl
from expman.transport.batch import Batch
from expman.transport.bulk_decode import Rows
from expman.transport.consumer import LaneConsumer
from expman.transport.hello import Hello, encode_hello
from expman.transport.producer import LaneProducer, WaitHook
from expman.transport.ring import Ring

DEADLINE_S = 120.0
TERM_BYTES = 16 * 1024
DATA_OFFSET = 64 + (TERM_BYTES - 64) // 16 * 4


def make_hello(**changes: Any) -> Hello:
    """A hello of nobody in particular."""
    hello = Hello(
        role="owner",
        producer="main",
        pid=1,
        started_at_ns=2,
        base_dir="/nowhere",
        experiment="lanes",
        run_name="run",
        language="python",
        env_path="",
    )
    return msgspec.structs.replace(hello, **changes)


@contextmanager
def fresh_address(place: str = places.SHM) -> Iterator[segment.Address]:
    """An address that lanes can be claimed under; everything below it is removed at the end."""
    address = segment.Address.fresh(place)
    base = segment.create(place, address.segment(), 4096)
    try:
        AddressControl.create(base)
        yield address
    finally:
        base.close()
        for name in places.list_names(place):
            if name.startswith(address.segment()):
                segment.remove(place, name)


def open_lane(
    address: segment.Address,
    *,
    max_bytes: int = 1 << 20,
    overflow: str = "block",
    on_wait: WaitHook = lambda: True,
) -> LaneProducer:
    """Claims a lane."""
    hello = make_hello(max_buffer_bytes=max_bytes, overflow=overflow)
    return LaneProducer(address, hello, on_wait=on_wait)


def ring_of(lane: LaneProducer) -> Ring:
    """The terms of a producer's lane."""
    return lane._own.claimed.ring


def singly(records: Iterable[wire.Record | Rows]) -> list[wire.Record]:
    """The records one by one; where rows came together, their ordinals are not known."""
    found: list[wire.Record] = []
    for record in records:
        if isinstance(record, Rows):
            values = zip(*record.columns, strict=True) if record.columns else [()] * record.count
            found += [
                wire.Vector(-1, logged_at_ns, step, record.schema, row)
                for logged_at_ns, step, row in zip(
                    record.logged_at_ns, record.steps, values, strict=True
                )
            ]
        else:
            found.append(record)
    return found


def poll(consumer: LaneConsumer, producer: Literal["alive", "dead"] = "alive") -> Batch:
    """One poll of a consumer, its records one by one."""
    batch = consumer.poll(producer)
    records = singly(batch.records)
    assert batch.count == len(records)
    return msgspec.structs.replace(batch, records=records)


def read_all(consumer: LaneConsumer, *, dead: bool = False) -> Batch:
    """Polls until there is nothing new, and gives it as one batch."""
    first_row, first_record = consumer.rows, consumer.position.records
    records: list[wire.Record] = []
    problems = []
    deadline = time.monotonic() + DEADLINE_S
    while True:
        batch = poll(consumer, "dead" if dead else "alive")
        records += batch.records
        problems += batch.problems
        if not batch.records and not batch.problems:
            return msgspec.structs.replace(
                batch,
                records=records,
                count=len(records),
                first_row=first_row,
                first_record=first_record,
                problems=problems,
            )
        assert time.monotonic() < deadline, "the consumer finds no end"


def wait_for(consumer: LaneConsumer, count: int) -> list[wire.Record]:
    """Polls until so many records have come."""
    records: list[wire.Record] = []
    deadline = time.monotonic() + DEADLINE_S
    while len(records) < count:
        records += poll(consumer).records
        assert time.monotonic() < deadline, f"{len(records)} of {count} records came"
    return records


def rows_of(records: list[wire.Record]) -> list[tuple[int | None, dict[str, Any]]]:
    """Steps and values of the rows among records, names resolved as the writer does it."""
    schemas: dict[int, tuple[str, ...]] = {}
    rows = []
    for record in records:
        if isinstance(record, wire.Schema):
            schemas[record.schema] = record.keys
        elif isinstance(record, wire.Vector):
            rows.append(
                (record.step, dict(zip(schemas[record.schema], record.values, strict=True)))
            )
    return rows


def steps_of(records: list[wire.Record]) -> list[int | None]:
    return [record.step for record in records if isinstance(record, wire.Vector)]


def encode_record(ordinal: int, text: str = "x", at_ns: int = 10**18) -> bytes:
    """A log line, as it lies in a term."""
    return encoding.encode((encoding.LOG, ordinal, at_ns, "INFO", text))


def encode_row(ordinal: int, step: int) -> bytes:
    """A row without metrics."""
    return encoding.encode((encoding.VECTOR, ordinal, 10**18, step, 0, ()))


MADE_AT_S = 500_000_000
"""When lanes of the test's own hand were made, by their date: long before any other test's run.

A recovery takes a lane of another version for that of any run that began at about the same time.
"""


class HandLane:
    """A lane whose bytes the test lays; the offsets are those of the documented byte map."""

    def __init__(self, address: segment.Address, lane: int = 0) -> None:
        self.address = address
        self.lane = lane
        hello = encode_hello(make_hello())
        name = address.segment(lane)
        self.segment = segment.create(address.place, name, 8192 + len(hello))
        os.utime(self.segment.fd, (MADE_AT_S, MADE_AT_S))
        self.control = self.segment.map()
        self.control[0:8] = b"expmanL1"
        self.word(8, 3)
        self.control[8192:] = hello
        self.terms: list[mmap.mmap] = []
        self.word(16, len(hello))

    def word(self, offset: int, value: int) -> None:
        struct.pack_into("=Q", self.control, offset, value)

    def read_word(self, offset: int) -> int:
        (value,) = struct.unpack_from("=Q", self.control, offset)
        return int(value)

    def add_slot(self, slot: int, size: int = TERM_BYTES) -> mmap.mmap:
        """Makes the memory of a term."""
        memory = segment.create(self.address.place, self.address.segment(self.lane, slot), size)
        term = memory.map()
        memory.close()
        entries = (size - 64) // 16
        term[0:8] = b"expmanT1"
        struct.pack_into("=QQQ", term, 8, 3, entries, 64 + entries * 4)
        self.terms.append(term)
        return term

    def open_term(self, serial: int, slot: int) -> None:
        self.word(256 + 40 * (serial % 64), slot)
        self.word(256 + 40 * (serial % 64) + 8, 0)
        self.word(64, serial + 1)

    def seal(self, serial: int, data_bytes: int, rows: int = 0, records: int = 0) -> None:
        """Seals a term; it and those before it have so many rows and records."""
        self.word(256 + 40 * (serial % 64) + 16, rows)
        self.word(256 + 40 * (serial % 64) + 24, records)
        self.word(256 + 40 * (serial % 64) + 8, data_bytes + 1)

    def start(self) -> mmap.mmap:
        """The first term, open."""
        term = self.add_slot(0)
        self.open_term(0, 0)
        return term


def lay(term: mmap.mmap, position: int, payload: bytes) -> int:
    """Puts a record's bytes into a term's data; gives the position behind it."""
    start = DATA_OFFSET + position
    term[start : start + len(payload)] = payload
    return position + len(payload)


def publish(term: mmap.mmap, ordinal: int, length: int) -> None:
    """Stores an index entry."""
    struct.pack_into("=I", term, 64 + 4 * ordinal, length)
