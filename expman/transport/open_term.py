"""A term as its reader sees it: its index, its data, how far both are taken."""

from __future__ import annotations

import mmap
import time
from collections.abc import Iterator, Sequence

from expman.failpoints import hit
from expman.transport import layout
from expman.transport import records as wire
from expman.transport.encoding import UNREADABLE
from expman.transport.msgpack_walk import value_end

__all__ = ["OpenTerm", "decode_at", "missed_entries", "published_records"]

GLANCE_RECORDS = 64
BATCH_RECORDS = 8192
"""So many records are taken at once at the most."""
SETTLE_S = 1.0
"""How long an index gap of a sealed term is waited for before the data alone is believed.

A thread may be held up between its two stores. Its entry must land before the slot's
memory serves another term.
"""
_WIPE_BYTES = 1 << 20


class OpenTerm:
    """One term being read."""

    def __init__(self, name: str, mapping: mmap.mmap | bytes) -> None:
        self.name = name
        words = memoryview(mapping)[: layout.INDEX_OFFSET].cast("Q")
        # The sizes follow from the segment's, so the records can be read all the same.
        self.damaged = (
            words[layout.MAGIC] != layout.MAGIC_TERM
            or words[layout.VERSION] != layout.LAYOUT_VERSION
            or words[layout.INDEX_ENTRIES] != layout.index_entries(len(mapping))
        )
        self.entries = layout.index_entries(len(mapping))
        start, self.data_offset = layout.INDEX_OFFSET, layout.data_offset(len(mapping))
        self.bytes = memoryview(mapping)
        self.index = self.bytes[start : start + 4 * self.entries].cast("I")
        self.data = self.bytes[self.data_offset :]
        self.position = 0  # bytes of data taken
        self.slot = 0  # index entries taken
        self.gaps: set[int] = set()  # entries below `slot` that were still zero
        self.seen = 0  # entries seen at the previous poll
        self.seen_index: Sequence[int] = ()  # the index as it was at the previous poll
        self.stuck_since: float | None = None

    def published(self, ordinal: int, length: int) -> bool:
        """Whether the index says that a record of this ordinal has this length."""
        return 0 <= ordinal < self.entries and layout.record_bytes(self.index[ordinal]) == length

    def agrees(self, record: wire.Record, length: int) -> bool:
        """Whether the index, as far as it says anything, gives the record this length."""
        entry = self.index[record.ordinal] if 0 <= record.ordinal < self.entries else 0
        return not entry or layout.record_bytes(entry) == length

    def appended(self) -> bool:
        """Whether there are bytes behind those taken."""
        return self.position < len(self.data) and self.data[self.position] != 0

    def is_any_near(self) -> bool:
        """Whether there are index entries soon behind those taken."""
        return any(self.index[self.slot : self.slot + GLANCE_RECORDS])

    def waited(self) -> bool:
        """Whether what does not add up has had its time; the time begins with the first call."""
        now = time.monotonic()
        if self.stuck_since is None:
            self.stuck_since = now
        return now - self.stuck_since >= SETTLE_S

    def has_entries(self) -> bool:
        """Whether there are index entries behind those taken."""
        return bool(bytes(self.index[self.slot :]).strip(b"\0"))

    def wipe(self, entries: int, length: int) -> None:
        """Zeroes what was used, so that the slot's next term starts clean."""
        start = layout.INDEX_OFFSET
        self.bytes[start : start + 4 * entries] = bytes(4 * entries)
        hit("release-half-wiped")
        for offset in range(0, length, _WIPE_BYTES):
            piece = min(_WIPE_BYTES, length - offset)
            self.data[offset : offset + piece] = bytes(piece)


def missed_entries(term: OpenTerm) -> list[int]:
    """Entries that were passed over: their threads had not appended when the others had."""
    if not term.gaps:
        return []
    missed, position = set(range(term.slot)), 0
    while position < term.position:
        found = decode_at(term, position, term.position)
        if found is None:
            return []
        missed.discard(found[0].ordinal)
        position = found[1]
    return sorted(missed)


def decode_at(term: OpenTerm, position: int, limit: int) -> tuple[wire.Record, int] | None:
    """The record that begins at a position of the data, and its end; None if there is none.

    A record of an unknown kind counts only if the index confirms it, as one that is no row: bytes
    that are damaged must not change the numbers of rows.
    """
    # An array of up to 15 items, the first of them a tag: what else there is need not be walked.
    head = bytes(term.data[position : position + 2])
    if len(head) < 2 or not (0x90 <= head[0] <= 0x9F and 0 < head[1] < 0x80):
        return None
    try:
        end = value_end(term.data[:limit], position)
        if head[1] in wire.KNOWN_TAGS:
            return wire.decode_one(term.data[position:end]), end
        record = wire.decode_unknown(term.data[position:end])
    except UNREADABLE:
        return None
    is_confirmed = term.published(record.ordinal, end - position)
    return (record, end) if is_confirmed and term.index[record.ordinal] >= layout.OTHER else None


def published_records(term: OpenTerm) -> list[wire.Record]:
    """Every record that the index confirms; nothing counts as taken by it."""
    index = term.index
    count = next((n for n, length in enumerate(index) if not length), term.entries)
    try:
        lengths = list(map(layout.record_bytes, index[:count]))
        return [*wire.decode_many(term.data[: sum(lengths)], sum(map(bool, lengths)))]
    except UNREADABLE:
        return list(_confirmed(term))


def _confirmed(term: OpenTerm) -> Iterator[wire.Record]:
    """Threads interleaved: the records that the index confirms, up to the first other bytes."""
    position = 0
    while position < len(term.data) and term.data[position]:
        found = decode_at(term, position, len(term.data))
        if found is None:
            return
        record, end = found
        if term.published(record.ordinal, end - position):
            yield record
        position = end
