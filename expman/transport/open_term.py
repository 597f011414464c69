"""A term as its reader sees it: its index, its data, how far both are taken."""

from __future__ import annotations

import mmap
import platform
import re
import time
from collections.abc import Iterator, Sequence

from expman.errors import CorruptLaneError, LayoutVersionError
from expman.failpoints import hit
from expman.transport import layout
from expman.transport import records as wire
from expman.transport.encoding import UNREADABLE
from expman.transport.header import check_header
from expman.transport.msgpack_walk import value_end

__all__ = ["OpenTerm", "SeenIndex", "decode_at", "missed_entries", "published_records"]

GLANCE_RECORDS = 64
BATCH_RECORDS = 8192
"""At most so many records are taken at once."""
SETTLE_S = 1.0
"""How long an index gap of a sealed term is waited for before the data alone is believed.

A thread may be held up between its two stores. Its entry must land before the slot's
memory serves another term.
"""
_WIPE_BYTES = 1 << 20
_HEAD = re.compile(rb"[\x90-\x9f][\x01-\x7f]", re.DOTALL)
"""The first two bytes of any record."""
_ORDERED_STORES = platform.machine().lower() in {"x86_64", "amd64", "i386", "i686"}


class SeenIndex:
    """Index entries that can be trusted where the processor reorders stores.

    Written by the producer: first a record's bytes, then its index entry. x86 shows stores in
    program order, so an entry proves its bytes. Other processors may show the entry some
    nanoseconds earlier, and Python has no fence: there an entry counts only once an earlier poll
    has seen it (`test_stores_that_show_out_of_order`).
    """

    def __init__(self) -> None:
        self._end = 0
        self._entries: Sequence[int] = ()

    def prefix(self, start: int, count: int) -> int:
        """Number of trusted entries among the `count` entries from `start` on."""
        if _ORDERED_STORES:
            return count
        believed = min(count, max(self._end - start, 0))
        self._end = start + count
        return believed

    def entries(self, index: memoryview, *, dead: bool) -> Sequence[int]:
        """The trusted part of the index.

        Args:
            index: the index as it is now.
            dead: the producer is gone, so that no store is under way.
        """
        if _ORDERED_STORES or dead:
            return index
        seen, self._entries = self._entries, index.tolist()
        return seen


class OpenTerm:
    """One term being read.

    Args:
        name: name of its slot's segment.
        memory: the slot, mapped or copied.

    Attributes:
        damaged: the number of its records cannot be found by reading it.
        index: an entry for each ordinal; written by the producer.
        data: the records; written by the producer.
        position: bytes of data taken.
        slot: index entries taken.
        gaps: entries below `slot` that were still zero.
        seen: which entries may be believed.
        stuck_since: since when something does not add up; None if all is well.
    """

    def __init__(self, name: str, memory: mmap.mmap | bytes) -> None:
        self.name = name
        self._bytes = memoryview(memory)
        # The sizes follow from the segment's, so the records can be read even with a bad header.
        start, entries = layout.INDEX_OFFSET, layout.index_entries(len(memory))
        self.damaged = not _has_header(name, memory, entries)
        self.index = self._bytes[start : start + 4 * entries].cast("I")
        self.data = self._bytes[layout.data_offset(len(memory)) :]
        self.position = 0
        self.slot = 0
        self.gaps: set[int] = set()
        self.seen = SeenIndex()
        self.stuck_since: float | None = None

    @property
    def size(self) -> int:
        """Bytes of its memory."""
        return len(self._bytes)

    @property
    def data_offset(self) -> int:
        """Offset of its data in the segment."""
        return layout.data_offset(len(self._bytes))

    def published(self, ordinal: int, length: int) -> bool:
        """True if the index confirms that a record of this ordinal has this length."""
        within = 0 <= ordinal < len(self.index)
        return within and layout.record_bytes(self.index[ordinal]) == length

    def agrees(self, record: wire.Record, length: int) -> bool:
        """True if the index entry, if there is one, gives the record this length."""
        entry = self.index[record.ordinal] if 0 <= record.ordinal < len(self.index) else 0
        return not entry or layout.record_bytes(entry) == length

    def appended(self) -> bool:
        """True if there are bytes behind those taken."""
        return self.position < len(self.data) and self.data[self.position] != 0

    def is_any_near(self) -> bool:
        """True if there are index entries soon behind those taken."""
        return any(self.index[self.slot : self.slot + GLANCE_RECORDS])

    def waited(self) -> bool:
        """True if what does not add up has had its time; the time begins with the first call."""
        now = time.monotonic()
        if self.stuck_since is None:
            self.stuck_since = now
        return now - self.stuck_since >= SETTLE_S

    def fill_gaps(self) -> None:
        """Forgets the gaps whose entries have landed."""
        self.gaps = {gap for gap in self.gaps if not self.index[gap]}

    def has_entries(self) -> bool:
        """True if there are index entries behind those taken."""
        return bool(bytes(self.index[self.slot :]).strip(b"\0"))

    def cut(self, length: int) -> None:
        """Leaves out all data behind a length."""
        self.data = self.data[:length]

    def wipe(self) -> None:
        """Zeroes what was taken, so that the slot's next term starts clean."""
        self._wipe(self.slot, self.position)

    def wipe_all(self) -> None:
        """Zeroes everything but the header."""
        self._wipe(len(self.index), len(self.data))

    def _wipe(self, entries: int, length: int) -> None:
        start = layout.INDEX_OFFSET
        self._bytes[start : start + 4 * entries] = bytes(4 * entries)
        hit("release-half-wiped")
        for offset in range(0, length, _WIPE_BYTES):
            piece = min(_WIPE_BYTES, length - offset)
            self.data[offset : offset + piece] = bytes(piece)


def _has_header(name: str, memory: mmap.mmap | bytes, entries: int) -> bool:
    try:
        check_header(name, memory, layout.MAGIC_TERM, layout.INDEX_OFFSET)
    except (CorruptLaneError, LayoutVersionError):
        return False
    words = memoryview(memory)[: layout.INDEX_OFFSET].cast("Q")
    return bool(words[layout.INDEX_ENTRIES] == entries)


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

    A record of a kind that is not known counts as one if the index confirms it. Damage would have
    to hit the tag of a record that is not a row to be taken for that, and then its bytes are kept.
    """
    found = _decode(term, position, limit)
    return None if found is None or _has_swallowed_another(term, position, *found) else found


def _decode(term: OpenTerm, position: int, limit: int) -> tuple[wire.Record, int] | None:
    # A record is an array of up to 15 items that begins with a tag; nothing else is walked.
    head = bytes(term.data[position : position + 2])
    if _HEAD.fullmatch(head) is None:
        return None
    is_known = wire.is_known(head[1])
    try:
        end = value_end(term.data[:limit], position)
        data = bytes(term.data[position:end])
        record = wire.decode_one(data) if is_known else wire.decode_unknown(data)
    except UNREADABLE:
        return None
    if not is_known and not _is_confirmed_other(term, record.ordinal, len(data)):
        return None
    return record, end


def _has_swallowed_another(term: OpenTerm, position: int, record: wire.Record, end: int) -> bool:
    """True if the index does not confirm a record, and confirms another one that begins in it.

    A damaged header may count records that follow among a row's values. The ordinal may be damaged,
    too, so the index cannot always say where the record ended.
    """
    if term.published(record.ordinal, end - position):
        return False
    for head in _HEAD.finditer(term.data[position + 1 : end]):
        inner = position + 1 + head.start()
        found = _decode(term, inner, len(term.data))
        if found is not None and term.published(found[0].ordinal, found[1] - inner):
            return True
    return False


def _is_confirmed_other(term: OpenTerm, ordinal: int, length: int) -> bool:
    """True if the index confirms a record that is not a row."""
    return term.published(ordinal, length) and term.index[ordinal] >= layout.OTHER


def published_records(term: OpenTerm) -> list[wire.Record]:
    """Every record that the index confirms; none counts as taken."""
    index = term.index
    count = next((n for n, length in enumerate(index) if not length), len(index))
    try:
        lengths = list(map(layout.record_bytes, index[:count]))
        return wire.decode_many(term.data[: sum(lengths)], sum(map(bool, lengths)))
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
