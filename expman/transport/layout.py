"""The bytes of shared memory: offsets, sizes, magic and version. Nothing else.

Three kinds of segment share one address, a random token. All words are native
unsigned integers, stored and read only through aligned `memoryview.cast` items:
such a store is one instruction, so a reader sees the old or the new value.
(`struct.pack_into` zeroes its destination first and must not be used here.)

The address itself, ``expman-TOKEN``, 4096 bytes::

      0  MAGIC "expmanA1"        8  VERSION
     64  NEWS           producer another number than before: a lane was claimed
     72  WRITER_PID     writer   0 while there is none
     80  WRITER_STARTS  writer   how many writers have served this address
     88  STOPPING       writer   1: it takes no new runs
     96  GIVEN_UP       engine   1: it ended before its first lane
    104  REVIVED        both     1: made anew, because the name of the one before was removed
    112  SERVED         writer   1: it has had lanes

The control of a lane, ``expman-TOKEN-LANE``, 8192 bytes and the hello::

      0  MAGIC "expmanL1"        8  VERSION
     16  HELLO_BYTES    producer length of the hello; stored last, it publishes the lane
     24  EXIT_RECORD    producer 24 bytes by libc: what it ended with, see exit_record
     48  EXIT_LONG_PAUSE both    16 bytes, a struct timespec: see exit_record
     64  OPENED_TERMS   producer terms opened so far; the current one has serial OPENED-1
     72  LANE_SEALED    producer 1: the last term is sealed, no more will come
     80  DROPPED_ROWS   producer rows dropped by the overflow policy
     88  HIGH_WATER     producer most bytes of terms in use at once
     96  LANE_BYTES     producer bytes of all terms that exist
    104  EXIT_PAUSE     both     the same, a shorter time
    120  SETTLED        writer   1: all is durable but the status, which the exit status decides
    128  RELEASED_TERMS writer   terms whose records are written and whose memory is zeroed
    136  DRAINED_TERMS  writer   terms whose records are written; being zeroed if > RELEASED
    144  FLUSHED        writer   number of the last flush mark whose rows are durable
    152  DURABLE_ROWS   writer   rows of this lane that are durable: seq below it
    160  RUN_ENDED      writer   1: the files are final, everything is durable
    168  WRITTEN_ROWS   writer   rows of this lane in the files
    176  ARTIFACTS_KEPT writer   records of the lane whose artifacts are kept as requests in files
    184  ARTIFACTS_MISSING writer artifacts of the lane that could not be stored: the lines at 6624
    192  LOG_INTENT     writer   journal of run.log: records of the lane once the append is done
    200  LOG_SIZE       writer   size of run.log before that append
    208  LOG_DONE       writer   records of the lane whose lines are in run.log
    216  WRITE_ERROR_BYTES writer  length of the text at 5592; 0: all is well
    224  CLOSING        writer   1: the run ends; a record published from now on may not be taken
    232  CUTOFF_ENTRIES writer   index entries of the last term that were taken
    240  CUTOFF_TERMS   writer   serial of that term + 1; stored last, it says what was taken
    248  CUTOFF_BYTES   writer   bytes of that term's data that were taken
    256  TERM_TABLE     producer 64 entries by serial % 64: slot, sealed bytes + 1 (0: open), and of
                                 a sealed term where it ends: rows, records, dropped rows so far
   2816  START_TABLE    writer   64 entries by serial % 64: serial + 1, and where the term begins:
                                 rows, records, dropped rows before it
   4864  SEQ_BASE       writer   the lane's row 0 has this seq
   4872  NAME_NUMBER    writer   number that makes the producer's name its own
   4880  ADOPTED        writer   1: the two words above are set and hold for every later writer
   4888  DURABLE_STEP   writer   step of the last durable row that has one (two's complement)
   4896  HAS_STEP       writer   1: there is such a row
   4904  RETIRED_ROWS   writer   owner's lane: rows of workers that have gone; a worker's lane:
                                 what the owner's is once this one counts as gone (RUN_ENDED)
   4912  RETIRED_DROPS  writer   the same for the rows that they dropped
   4920  CUTOFF_GAPS    writer   so many entries below CUTOFF_ENTRIES were not taken, and which:
   4928  GAP_TABLE      writer   16 ordinals
   5056  SLOTS_MADE     producer slots made so far; some may be gone again
   5064  WRITERS        writer   owner's lane: how many writers have taken it
   5072  LANELESS       workers  owner's lane: 64 counts by pid % 64, rows dropped by workers that
                                 have no lane of their own
   5584  ROWS_MISSING   writer   owner's lane: rows of the run that are known to be in no file
   5592  WRITE_ERROR    writer   what the writer cannot do at present, UTF-8
   6624  MISSING        writer   a line for each artifact that could not be stored, UTF-8; then 0
   8192  hello          producer msgpack, see records.Hello

LANE and SLOT are random numbers: another user, who sees the names that there are, cannot take
those to come.

A term, ``expman-TOKEN-LANE-SLOT``; a slot is reused by many terms in turn::

      0  MAGIC "expmanT1"        8  VERSION     16  INDEX_ENTRIES     24  DATA_OFFSET
     64  index          u32 a record, by the record's ordinal in the term: its length in bytes,
                            plus OTHER if it is no row
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
    "MAGIC_TERM",
    "TERM_ENTRIES",
    "data_offset",
    "index_entries",
    "record_bytes",
]

LAYOUT_VERSION = 2

MAGIC_ADDRESS = int.from_bytes(b"expmanA1", "little")
MAGIC_LANE = int.from_bytes(b"expmanL1", "little")
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
MISSING_OFFSET = 6624

INDEX_ENTRIES = 2
DATA_OFFSET = 3
INDEX_OFFSET = 64
OTHER = 1 << 31
"""Mark in the index entry of a record that is no row, so that rows can be counted without it."""
VOID = 2**32 - 1
"""Index entry of an ordinal that was taken by a call that failed: there is no such record."""
MIN_RECORD_BYTES = 12
"""No record is shorter (header, tag, ordinal, 9 bytes of time), so data fills before the index."""


def index_entries(segment_bytes: int) -> int:
    """Number of index entries that a term of this size has room for."""
    return (segment_bytes - INDEX_OFFSET) // (4 + MIN_RECORD_BYTES)


def data_offset(segment_bytes: int) -> int:
    """Where the data of a term of this size begins."""
    return INDEX_OFFSET + -(-index_entries(segment_bytes) * 4 // 8) * 8


def record_bytes(entry: int) -> int:
    """Length of the record that an index entry stands for; 0 if there is none."""
    return 0 if entry == VOID else entry & (OTHER - 1)
