"""The control of a lane: the words that its producer and the writer share, by name.

The byte map is in `layout`. Nothing outside `transport` touches the words but through this class.
"""

from __future__ import annotations

import errno
import mmap

import msgspec

from expman.errors import CorruptLaneError
from expman.transport import layout
from expman.transport.encoding import UNREADABLE
from expman.transport.header import check_header, stamp
from expman.transport.hello import Hello, decode_hello
from expman.transport.numbering import LARGEST_COUNT, Reach, term_start
from expman.transport.words import Flag, Word

__all__ = ["Cutoff", "LaneControl"]


class Cutoff(msgspec.Struct, frozen=True):
    """Up to where a writer took the records of a lane. No later record is ever taken.

    Attributes:
        serial: the last term that it looked at.
        entries: index entries of that term that it took.
        bytes: bytes of that term's data that it took.
        gaps: entries among them that it passed over: their records came too late.
    """

    serial: int
    entries: int
    bytes: int
    gaps: tuple[int, ...]

    def includes(self, serial: int, ordinal: int) -> bool:
        """Whether a record was taken."""
        if serial != self.serial:
            return serial < self.serial
        return ordinal < self.entries and ordinal not in self.gaps


class LaneControl:
    """The control of a lane, mapped.

    Args:
        memory: the control.
        hello: who logs into the lane.

    Attributes:
        words: the raw words, for `transport` alone.
    """

    hello_bytes = Word(layout.HELLO_BYTES)
    opened_terms = Word(layout.OPENED_TERMS)
    sealed = Flag(layout.LANE_SEALED)
    dropped_rows = Word(layout.DROPPED_ROWS)
    high_water_bytes = Word(layout.HIGH_WATER)
    lane_bytes = Word(layout.LANE_BYTES)
    settled = Flag(layout.SETTLED)
    released_terms = Word(layout.RELEASED_TERMS)
    drained_terms = Word(layout.DRAINED_TERMS)
    flushed = Word(layout.FLUSHED)
    durable_rows = Word(layout.DURABLE_ROWS)
    run_ended = Flag(layout.RUN_ENDED)
    written_rows = Word(layout.WRITTEN_ROWS)
    artifacts_kept = Word(layout.ARTIFACTS_KEPT)
    artifacts_missing = Word(layout.ARTIFACTS_MISSING)
    log_intent = Word(layout.LOG_INTENT)
    log_size = Word(layout.LOG_SIZE)
    log_done = Word(layout.LOG_DONE)
    write_error_bytes = Word(layout.WRITE_ERROR_BYTES)
    closing = Flag(layout.CLOSING)
    seq_base = Word(layout.SEQ_BASE)
    name_number = Word(layout.NAME_NUMBER)
    adopted = Flag(layout.ADOPTED)
    retired_rows = Word(layout.RETIRED_ROWS)
    retired_drops = Word(layout.RETIRED_DROPS)
    slots_made = Word(layout.SLOTS_MADE)
    writers = Word(layout.WRITERS)
    rows_missing = Word(layout.ROWS_MISSING)

    def __init__(self, memory: mmap.mmap | bytearray, hello: Hello) -> None:
        self.hello = hello
        self._bytes = memoryview(memory)[: layout.CONTROL_BYTES]
        self.words = self._bytes.cast("Q")

    # -- opening ------------------------------------------------------------------

    @classmethod
    def create(cls, memory: mmap.mmap, hello: Hello, encoded_hello: bytes) -> LaneControl:
        """Writes what stands in a new lane's control, except HELLO_BYTES, which publishes it."""
        memory[layout.CONTROL_BYTES :] = encoded_hello
        control = cls(memory, hello)
        stamp(control.words, layout.MAGIC_LANE)
        return control

    @classmethod
    def open(cls, name: str, memory: mmap.mmap) -> LaneControl:
        """Checks and reads the control of a lane that its producer has published.

        Args:
            name: the segment's name.
            memory: the segment.

        Raises:
            FileNotFoundError: the hello is not there yet.
            CorruptLaneError: it is not a lane, or it is damaged.
            LayoutVersionError: it is one of another version.
        """
        # Magic, version and the length of the hello stand in the same place in every version.
        head = memoryview(memory)[: 8 * (layout.HELLO_BYTES + 1)]
        length = 0 if len(head) % 8 else head.cast("Q")[-1]
        if not length:
            raise FileNotFoundError(errno.ENOENT, "its producer has not published it yet", name)
        check_header(name, memory, layout.MAGIC_LANE, layout.CONTROL_BYTES)
        try:
            hello = decode_hello(memory[layout.CONTROL_BYTES : layout.CONTROL_BYTES + length])
        except UNREADABLE as exc:
            raise CorruptLaneError(name, layout.CONTROL_BYTES, f"hello: {exc}") from exc
        return cls(memory, hello)

    @classmethod
    def unclaimed(cls, hello: Hello) -> LaneControl:
        """The words of a lane that was never claimed: all zero."""
        return cls(bytearray(layout.CONTROL_BYTES), hello)

    def let_go(self) -> None:
        """Gives the memory back; the words keep their last values."""
        self._bytes = memoryview(bytearray(self.words.cast("B")))
        self.words = self._bytes.cast("Q")

    def remains(self) -> LaneControl:
        """A copy of the words, which needs no shared memory."""
        return LaneControl(bytearray(self.words.cast("B")), self.hello)

    # -- terms ----------------------------------------------------------------------

    @staticmethod
    def _entry(serial: int) -> int:
        return layout.TERM_TABLE + layout.TERM_WORDS * (serial % layout.TERM_ENTRIES)

    def slot(self, serial: int) -> int:
        """Number of the slot that a term is in."""
        return int(self.words[self._entry(serial)])

    def sealed_word(self, serial: int) -> int:
        """Bytes of a sealed term's data + 1; 0 for an open term."""
        return int(self.words[self._entry(serial) + 1])

    def term_start(self, serial: int) -> Reach | None:
        """Where a term begins, as a consumer noted; None if none has come so far."""
        return term_start(self.words, serial)

    # -- what a reader asks ----------------------------------------------------------

    @property
    def durable_step(self) -> int | None:
        """Step of the last durable row that has one."""
        if not self.words[layout.HAS_STEP]:
            return None
        step = int(self.words[layout.DURABLE_STEP])
        return step - 2**64 if step >= 2**63 else step

    @durable_step.setter
    def durable_step(self, step: int) -> None:
        self.words[layout.DURABLE_STEP] = step % 2**64
        self.words[layout.HAS_STEP] = 1

    @property
    def write_error(self) -> str:
        """What the writer cannot do at present; "" if all is well."""
        start = layout.WRITE_ERROR_OFFSET
        room = layout.MISSING_OFFSET - start
        end = start + min(self.write_error_bytes, room)
        return bytes(self._bytes[start:end]).decode(errors="replace")

    @write_error.setter
    def write_error(self, text: str) -> None:
        encoded = text.encode(errors="replace")[: layout.MISSING_OFFSET - layout.WRITE_ERROR_OFFSET]
        start = layout.WRITE_ERROR_OFFSET
        self._bytes[start : start + len(encoded)] = encoded
        self.write_error_bytes = len(encoded)

    @property
    def missing_artifacts(self) -> list[str]:
        """A line for each artifact that could not be stored, as far as there is room for them."""
        room = bytes(self._bytes[layout.MISSING_OFFSET : layout.CONTROL_BYTES])
        return room.partition(b"\0")[0].decode(errors="replace").splitlines()

    def add_missing_artifact(self, text: str) -> None:
        """Adds a line for an artifact that could not be stored, then counts it."""
        room = bytes(self._bytes[layout.MISSING_OFFSET : layout.CONTROL_BYTES])
        used = room.find(b"\0")
        line = " ".join(text.split()).encode(errors="replace") + b"\n"
        if used >= 0 and used + len(line) < len(room):
            start = layout.MISSING_OFFSET + used
            self._bytes[start : start + len(line)] = line
        self.artifacts_missing += 1

    @property
    def laneless_drops(self) -> int:
        """Rows that workers without a lane of their own dropped."""
        counts = self.words[layout.LANELESS : layout.LANELESS + layout.LANELESS_COUNTS]
        return min(sum(counts), LARGEST_COUNT)

    def count_laneless(self, pid: int, rows: int) -> None:
        """Adds to the rows that a process without a lane dropped; `rows` may be negative."""
        word = layout.LANELESS + pid % layout.LANELESS_COUNTS
        self.words[word] = max(0, self.words[word] + rows)

    @property
    def cutoff(self) -> Cutoff | None:
        """Up to where the writer took the lane's records for good; None while it takes more."""
        words = self.words
        if not words[layout.CUTOFF_TERMS]:
            return None
        count = min(words[layout.CUTOFF_GAPS], layout.GAP_ENTRIES)
        return Cutoff(
            words[layout.CUTOFF_TERMS] - 1,
            words[layout.CUTOFF_ENTRIES],
            words[layout.CUTOFF_BYTES],
            tuple(words[layout.GAP_TABLE : layout.GAP_TABLE + count]),
        )

    @cutoff.setter
    def cutoff(self, cutoff: Cutoff) -> None:
        words, gaps = self.words, cutoff.gaps[: layout.GAP_ENTRIES]
        for number, ordinal in enumerate(gaps):
            words[layout.GAP_TABLE + number] = ordinal
        words[layout.CUTOFF_GAPS] = len(gaps)
        words[layout.CUTOFF_ENTRIES] = cutoff.entries
        words[layout.CUTOFF_BYTES] = cutoff.bytes
        words[layout.CUTOFF_TERMS] = cutoff.serial + 1
