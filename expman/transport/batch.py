"""Records that are taken from a lane in one call."""

from __future__ import annotations

import re
import sys

import msgspec

from expman.errors import CorruptLaneError
from expman.transport import layout
from expman.transport import records as wire
from expman.transport.bulk_decode import Rows, decode_batch
from expman.transport.encoding import UNREADABLE
from expman.transport.open_term import BATCH_RECORDS, GLANCE_RECORDS, OpenTerm

__all__ = ["Batch", "take_prefix"]

_MARKED = re.compile(rb"[\x80-\xff]")
"""High bytes of index entries with the mark OTHER, those of void ones among them."""


class Batch(msgspec.Struct, frozen=True):
    """Records in the order of the lane.

    Attributes:
        records: what was decoded; rows that follow each other may come together.
        count: how many records that are.
        first_row: number of the first row among them, in its lane.
        first_record: number of the first of them in its lane.
        term: number of the term that they are from.
        problems: what was unreadable and had to be left out.
    """

    records: list[wire.Record | Rows]
    count: int
    first_row: int
    first_record: int
    term: int
    problems: list[CorruptLaneError]


def take_prefix(term: OpenTerm) -> list[wire.Record | Rows] | None:
    """Takes the published records up to the first gap, in a few decoding calls.

    Returns:
        The records; none if there is nothing new. None if they do not add up: `salvage` reads
        them one by one.
    """
    if term.gaps:
        return None
    lengths = term.index[term.slot : term.slot + GLANCE_RECORDS].tolist()
    if lengths and 0 not in lengths:
        lengths = term.index[term.slot : term.slot + BATCH_RECORDS].tolist()
    count = len(lengths) if all(lengths) else lengths.index(0)
    if not count:
        return None if any(lengths) or term.appended() else []
    count = term.seen.prefix(term.slot, count)
    if not count:
        return []
    del lengths[count:]
    _unmark(lengths, bytes(term.index[term.slot : term.slot + count]))
    end = term.position + sum(lengths)
    if end > len(term.data):
        return None
    try:
        taken = decode_batch(bytes(term.data[term.position : end]), lengths)
    except UNREADABLE:
        return None
    term.position, term.slot = end, term.slot + count
    term.stuck_since = None
    return taken


def _unmark(lengths: list[int], entries: bytes) -> None:
    """Takes the marks off the lengths of records that are not rows, and leaves out void entries.

    Args:
        lengths: the index entries.
        entries: the same as they lie in memory. Marks are rare: C finds them at a tenth of the
            cost of a look at each length.
    """
    high = entries[3::4] if sys.byteorder == "little" else entries[::4]
    if high.isascii():
        return
    for place in reversed([match.start() for match in _MARKED.finditer(high)]):
        if lengths[place] == layout.VOID:
            del lengths[place]
        else:
            lengths[place] &= layout.OTHER - 1
