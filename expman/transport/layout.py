"""The bytes of shared memory: offsets, sizes, magic and version. Nothing else.

Four kinds of segment share one address, a random token: the address itself (its map is in
`address_control`), the control of a lane (`lane_words`), spools (`spool_memory`), and terms
(below). All words are native unsigned integers, stored and read only through aligned
`memoryview.cast` items: such a store is one instruction, so a reader sees the old or the new value.
(`struct.pack_into` zeroes its destination first and must not be used here.)

LANE and SLOT are random numbers: another user, who sees the names that there are, cannot take
those to come.

A term, ``expman-TOKEN-LANE-SLOT``; a slot is reused by many terms in turn::

      0  MAGIC "expmanT1"        8  VERSION     16  INDEX_ENTRIES     24  DATA_OFFSET
     64  index          u32 a record, by the record's ordinal in the term: its length in bytes,
                            plus OTHER if it is not a row
      D  data           records back to back, up to the end of the segment

A record is published when its index entry holds its length. A producer reserves an
ordinal, appends the record (which carries the ordinal) to the data, then stores the
length. Entries and data of an open term are zero where nothing was written yet. The entry of
an ordinal whose record did not fit is VOID, all ones.
"""

from __future__ import annotations

__all__ = [
    "ADDRESS_BYTES",
    "CONTROL_BYTES",
    "LAYOUT_VERSION",
    "MAGIC_ADDRESS",
    "MAGIC_LANE",
    "MAGIC_SPOOL",
    "MAGIC_TERM",
    "TERM_ENTRIES",
    "data_offset",
    "index_entries",
    "record_bytes",
]

LAYOUT_VERSION = 3

MAGIC_ADDRESS = int.from_bytes(b"expmanA1", "little")
MAGIC_LANE = int.from_bytes(b"expmanL1", "little")
MAGIC_SPOOL = int.from_bytes(b"expmanM1", "little")
MAGIC_TERM = int.from_bytes(b"expmanT1", "little")

# Word numbers (8 bytes each).
MAGIC = 0
VERSION = 1

ADDRESS_BYTES = 4096
NEWS = 8
WRITER_PID = 9
WRITER_STARTS = 10
STOPPING = 11
GIVEN_UP = 12
REVIVED = 13
SERVED = 14

CONTROL_BYTES = 8192
HELLO_BYTES = 2
EXIT_RECORD = 3
EXIT_RECORD_WORDS = 3
EXIT_LONG_PAUSE = 6
OPENED_TERMS = 8
LANE_SEALED = 9
DROPPED_ROWS = 10
HIGH_WATER = 11
LANE_BYTES = 12
EXIT_PAUSE = 13
SETTLED = 15
RELEASED_TERMS = 16
DRAINED_TERMS = 17
FLUSHED = 18
DURABLE_ROWS = 19
RUN_ENDED = 20
WRITTEN_ROWS = 21
ARTIFACTS_KEPT = 22
ARTIFACTS_MISSING = 23
LOG_INTENT = 24
LOG_SIZE = 25
LOG_DONE = 26
WRITE_ERROR_BYTES = 27
CLOSING = 28
CUTOFF_ENTRIES = 29
CUTOFF_TERMS = 30
CUTOFF_BYTES = 31
TERM_TABLE = 32
TERM_ENTRIES = 64
TERM_WORDS = 5
START_TABLE = 352
START_WORDS = 4
SEQ_BASE = 608
NAME_NUMBER = 609
ADOPTED = 610
DURABLE_STEP = 611
HAS_STEP = 612
RETIRED_ROWS = 613
RETIRED_DROPS = 614
CUTOFF_GAPS = 615
GAP_TABLE = 616
GAP_ENTRIES = 16
SLOTS_MADE = 632
WRITERS = 633
LANELESS = 634
LANELESS_COUNTS = 64
ROWS_MISSING = 698
WRITE_ERROR_OFFSET = 5592
CONSOLE_INTENT = 825
CONSOLE_SIZE = 826
CONSOLE_DONE = 827
WRITE_ERROR_END = 6600
MISSING_OFFSET = 6624

SPOOL_FILLED = 2
SPOOL_FREED = 3

INDEX_ENTRIES = 2
DATA_OFFSET = 3
INDEX_OFFSET = 64
OTHER = 1 << 31
"""Mark in the index entry of a record that is not a row, so that rows can be counted without it."""
VOID = 2**32 - 1
"""Index entry of an ordinal that a failed call has taken: it has no record."""
MIN_RECORD_BYTES = 12
"""No record is shorter (header, tag, ordinal, 9 bytes of time), so data fills before the index."""


def index_entries(segment_bytes: int) -> int:
    """Number of index entries that a term of this size has room for."""
    return (segment_bytes - INDEX_OFFSET) // (4 + MIN_RECORD_BYTES)


def data_offset(segment_bytes: int) -> int:
    """Offset of the data in a term of this size."""
    return INDEX_OFFSET + -(-index_entries(segment_bytes) * 4 // 8) * 8


def record_bytes(entry: int) -> int:
    """Length of the record that an index entry stands for; 0 if there is none."""
    return 0 if entry == VOID else entry & (OTHER - 1)
