"""Numbering of a lane's rows and records across its terms, also past a lost term.

Log calls keep no counter: rows are numbered by reading and counting them. So that a lost term
leaves a gap of the right size, both ends note in the lane's control where terms end:

- The producer stores where a term ends when it seals it, from the term's index (`ring.Term`). The
  words belong to the entry of TERM_TABLE. They are stored before the word with the sealed bytes,
  which is zero until then: a reader that sees the sealed bytes sees the numbers, too. (On a
  processor that reorders stores it may see them some nanoseconds later. They are needed only for a
  lost term, long after.) The entry
  serves another term only once this one is released.
- The consumer stores in START_TABLE where a term begins, once it has read the one before. That
  is before any row of the term is in a file. It takes precedence over the producer's words: the
  rows in the files were numbered by it. Its first word, serial + 1, is zeroed first and stored
  last.

`test_a_term_that_is_gone` and `tests/process/test_counts.py` show both.
"""

from __future__ import annotations

import msgspec

from expman.transport import layout

__all__ = ["LARGEST_COUNT", "Reach", "note_end", "note_start", "term_end", "term_start"]

LARGEST_COUNT = 2**60
"""A larger number is damage."""


class Reach(msgspec.Struct, frozen=True):
    """Numbers of rows and records up to some point of a lane.

    Attributes:
        rows: rows before it, dropped ones included.
        records: records before it.
        drops: dropped rows among the rows.
    """

    rows: int = 0
    records: int = 0
    drops: int = 0


def note_end(words: memoryview, serial: int, end: Reach) -> None:
    """Called by the producer, before it stores that the term is sealed."""
    entry = layout.TERM_TABLE + layout.TERM_WORDS * (serial % layout.TERM_ENTRIES)
    words[entry + 2], words[entry + 3], words[entry + 4] = end.rows, end.records, end.drops


def term_end(words: memoryview, serial: int) -> Reach | None:
    """End of a sealed term, as noted by its producer; None for an open one."""
    entry = layout.TERM_TABLE + layout.TERM_WORDS * (serial % layout.TERM_ENTRIES)
    return _reach(words, entry + 2) if words[entry + 1] else None


def note_start(words: memoryview, serial: int, start: Reach) -> None:
    """Called by the consumer that has read the term before it to its end."""
    entry = layout.START_TABLE + layout.START_WORDS * (serial % layout.TERM_ENTRIES)
    words[entry] = 0
    words[entry + 1], words[entry + 2], words[entry + 3] = start.rows, start.records, start.drops
    words[entry] = serial + 1


def term_start(words: memoryview, serial: int) -> Reach | None:
    """Start of a term, as found by a consumer; None if no consumer has reached it."""
    entry = layout.START_TABLE + layout.START_WORDS * (serial % layout.TERM_ENTRIES)
    return _reach(words, entry + 1) if words[entry] == serial + 1 else None


def _reach(words: memoryview, first: int) -> Reach | None:
    found = Reach(words[first], words[first + 1], words[first + 2])
    return found if max(found.rows, found.records, found.drops) <= LARGEST_COUNT else None
