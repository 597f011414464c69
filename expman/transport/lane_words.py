"""The words of a lane's control: who writes each, who reads it, and why that is safe.

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
    224  CLOSING        writer   1: the run is closing, a record published now may come too late
    232  CUTOFF_ENTRIES writer   index entries of the last term that were taken
    240  CUTOFF_TERMS   writer   serial of that term + 1; stored last
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
   6600  CONSOLE_INTENT writer   the same as LOG_INTENT, LOG_SIZE and LOG_DONE for console.log
   6608  CONSOLE_SIZE   writer
   6616  CONSOLE_DONE   writer
   6624  MISSING        writer   a line for each artifact that could not be stored, UTF-8; then 0
   8192  hello          producer msgpack, see hello.Hello

How words are safe in general. Each has one writing side, and of that side one process at a time:
the producer is the process that claimed the lane, the writer is the one that holds the lock of the
address. A store is one instruction, so a value is never torn. Where several words belong together,
the one that makes the others count is stored last. On x86-64 the other side sees stores in program
order. Elsewhere it may see them some nanoseconds apart: what depends on the order there is looked
at again, or is stored milliseconds before anybody asks for it. A word that is damaged must not
harm: `test_words_of_the_control_replaced` replaces any of them.
"""

from __future__ import annotations

import mmap

import msgspec

from expman.transport import layout
from expman.transport.numbering import LARGEST_COUNT
from expman.transport.words import Flag, Word

__all__ = ["AppendWords", "Cutoff", "LaneWords"]


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
        """True if a record was taken."""
        if serial != self.serial:
            return serial < self.serial
        return ordinal < self.entries and ordinal not in self.gaps


class AppendWords:
    """Three words that make every append to a file of lines happen once, see `LaneWords.log`.

    Args:
        words: those of the lane's control.
        first: number of the first of the three.
    """

    def __init__(self, words: memoryview, first: int) -> None:
        self._words = words
        self._first = first

    @property
    def size(self) -> int:
        """Bytes of the file before the append that was intended last."""
        return int(self._words[self._first + 1])

    @property
    def done(self) -> int:
        """Records of the lane whose lines are in the file, and those before them."""
        return int(self._words[self._first + 2])

    @property
    def is_open(self) -> bool:
        """True if an append was begun and not completed."""
        return bool(self._words[self._first] > self.done)

    def begin(self, size: int, records: int) -> None:
        """Stores that lines will be appended to a file of that size."""
        self._words[self._first + 1] = size
        self._words[self._first] = records

    def call_off(self) -> None:
        """Stores that nothing is being appended."""
        self._words[self._first] = self.done

    def end(self, records: int) -> None:
        """Stores that the lines of so many records of the lane are in the file."""
        self._words[self._first + 2] = records


class LaneWords:
    """The words of a lane's control, by name.

    Args:
        memory: the control.

    Attributes:
        words: the raw words, for `transport` alone.
    """

    # Written by: the producer, last of all when it claims the lane, and once.
    # Read by: everybody. 0: there is no lane yet, and nothing else is read.
    # Safe: magic, version, hello and the first term are stored before.
    # Shown by: test_no_lane, test_interrupted_constructor_anywhere.
    hello_bytes = Word(layout.HELLO_BYTES)

    # Written by: the producer, after the term's entry in TERM_TABLE.
    # Read by: the writer and peek. A term exists for them if its serial is below this word.
    # Safe: a call that interrupts another one may open later terms first; then the same words are
    # stored again until they are right (`Ring._show`).
    # Shown by: test_rows_go_through_many_terms, test_a_finalizer_that_logs_while_a_term_opens.
    opened_terms = Word(layout.OPENED_TERMS)

    # Written by: the producer, after the last term is sealed, and once.
    # Read by: the writer, which ends a lane only if it has also taken all terms up to OPENED_TERMS.
    # Safe: nothing can be appended to a sealed term, so no record comes after this store.
    # Shown by: test_the_sentinel_is_last, test_each_returned_row_is_there_once.
    sealed = Flag(layout.LANE_SEALED)

    # Written by: the producer. Only grows.
    # Read by: the writer, for run.yaml; a Drop record in the lane says where the rows were.
    # Safe: stored again until it is what the count says, if a call comes in between.
    # Shown by: test_drops_are_counted_and_seen, test_interrupted.
    dropped_rows = Word(layout.DROPPED_ROWS)

    # Written by: the producer, when terms change.
    # Read by: the writer, for run.yaml and for people. Nothing is decided by it.
    # Safe: an old value does no harm.
    # Shown by: test_all_of_the_limit_can_be_used, test_a_lane_grows_by_terms_up_to_its_limit.
    high_water_bytes = Word(layout.HIGH_WATER)
    lane_bytes = Word(layout.LANE_BYTES)

    # Written by: the writer, after all of the run but the status is durable.
    # Read by: the owner's last close(), which leaves the status to the exit status.
    # Safe: only set, and what it reports is on disk by then.
    # Shown by: test_the_end_is_the_status, test_an_exit_handler_may_still_log.
    settled = Flag(layout.SETTLED)

    # Written by: the writer. DRAINED_TERMS before the first byte of a term is zeroed,
    # RELEASED_TERMS after the last one.
    # Read by: the producer (it uses a slot again only if its term is below RELEASED), a successor
    # (it zeroes what is between the two), peek (a copy counts only if DRAINED has not passed it).
    # Safe: both only grow, and nobody else stores them.
    # Shown by: test_a_successor_of_one_killed_in_release, test_a_half_wiped_term_is_wiped,
    # test_peek_while_the_writer_reuses_terms.
    released_terms = Word(layout.RELEASED_TERMS)
    drained_terms = Word(layout.DRAINED_TERMS)

    # Written by: the writer, after the fsync of everything before the flush mark.
    # Read by: the producer's flush(), until the word is not below its own number.
    # Safe: numbers of flush marks only grow; a successor answers marks that it reads again.
    # Shown by: test_flush_makes_everything_durable, test_killed_at_each_point.
    flushed = Word(layout.FLUSHED)

    # Written by: the writer, after the fsync of these rows.
    # Read by: the producer's durable_seq.
    # Safe: only grows. SEQ_BASE, which is added to it, was stored before the first row.
    # Shown by: test_durable_seq_is_never_ahead.
    durable_rows = Word(layout.DURABLE_ROWS)

    # Written by: the writer, after the run's files are final and durable; in a worker's lane that
    # is given up, after RETIRED_ROWS and RETIRED_DROPS.
    # Read by: the producer's flush() and close(); a successor, which takes nothing from the lane.
    # Safe: only set. An owner whose lane was never shown stores it itself (`take_back`).
    # Shown by: test_writer_killed_at_its_very_end, test_killed_at_each_point.
    run_ended = Flag(layout.RUN_ENDED)

    # Written by: the writer, after these rows are written.
    # Read by: peek, which leaves them out; a successor, if a term is lost that was not sealed.
    # Safe: only grows, and it may lag: then peek shows a row that a file has, too.
    # Shown by: test_rows_of_another_process, test_lost_open_term.
    written_rows = Word(layout.WRITTEN_ROWS)

    # Written by: the writer, after the request's file is durable.
    # Read by: a successor, which takes no request below it.
    # Safe: only grows; if the writer is killed before the store, the request is made again.
    # Shown by: test_both_killed_while_copying, test_killed_at_each_point.
    artifacts_kept = Word(layout.ARTIFACTS_KEPT)

    # Written by: the writer, after the line in MISSING.
    # Read by: the producer's flush() and close(), which report each artifact once.
    # Safe: only grows. A line that found no room is counted all the same.
    # Shown by: test_close_raises_for_what_is_missing.
    artifacts_missing = Word(layout.ARTIFACTS_MISSING)

    # Written by: the writer. LOG_SIZE, then LOG_INTENT, then the lines, then LOG_DONE; for
    # console.log CONSOLE_SIZE, CONSOLE_INTENT and CONSOLE_DONE.
    # Read by: a successor, which cuts the file to the size if the intent is above what is done.
    # Safe: the writer is one process, and a successor begins after its death.
    # Shown by: test_killed_at_each_point, test_killed_again_and_again.
    @property
    def log(self) -> AppendWords:
        """The words of run.log."""
        return AppendWords(self.words, layout.LOG_INTENT)

    @property
    def console(self) -> AppendWords:
        """The words of console.log."""
        return AppendWords(self.words, layout.CONSOLE_INTENT)

    # Written by: the writer, after the text in WRITE_ERROR.
    # Read by: the producer's flush() and close(), for the message of an error.
    # Safe: nothing is decided by it; a reader may get parts of two texts.
    # Shown by: test_a_directory_that_cannot_be_written_for_a_while.
    write_error_bytes = Word(layout.WRITE_ERROR_BYTES)

    # Written by: the writer; only set.
    # Read by: workers, after each store of an index entry.
    # Safe: the writer waits some milliseconds after the store, see `cutoff`.
    # Shown by: test_late_rows, test_a_row_before_the_cutoff_is_taken.
    closing = Flag(layout.CLOSING)

    # Written by: the writer, ADOPTED last, before any row of the lane is in a file, and once.
    # Read by: every later writer, and peek, once ADOPTED is set.
    # Safe: none of the three changes afterwards, so all writers number and name rows alike.
    # Shown by: test_a_name_that_a_predecessor_gave_is_not_given_again, test_killed_at_each_point.
    seq_base = Word(layout.SEQ_BASE)
    name_number = Word(layout.NAME_NUMBER)
    adopted = Flag(layout.ADOPTED)

    # Written by: the writer, into the worker's lane before that one's RUN_ENDED, then into the
    # owner's lane.
    # Read by: a successor, which takes the larger of both: a lane is never counted twice.
    # Safe: they only grow.
    # Shown by: test_workers_are_made_anew_again_and_again, test_killed_at_each_point.
    retired_rows = Word(layout.RETIRED_ROWS)
    retired_drops = Word(layout.RETIRED_DROPS)

    # Written by: the producer, after the slot's segment has its name and its size.
    # Read by: the writer, which lists the names whenever it has changed.
    # Safe: a slot that the writer does not find yet changes the word again, or is opened when a
    # term needs it.
    # Shown by: test_names_removed, test_a_stopped_run_whose_names_were_removed.
    slots_made = Word(layout.SLOTS_MADE)

    # Written by: each writer that takes the owner's lane.
    # Read by: the same writer, for the number of restarts in run.yaml.
    # Safe: one writer at a time holds the lock of the address.
    # Shown by: test_killed_again_and_again.
    writers = Word(layout.WRITERS)

    # Written by: the writer.
    # Read by: the owner's flush() and close(), which report each row once.
    # Safe: one word; nothing else depends on it.
    # Shown by: test_flush_says_what_is_missing.
    rows_missing = Word(layout.ROWS_MISSING)

    def __init__(self, memory: mmap.mmap | bytearray) -> None:
        self._bytes = memoryview(memory)[: layout.CONTROL_BYTES]
        self.words = self._bytes.cast("Q")

    # DURABLE_STEP, HAS_STEP.
    # Written by: the writer, after the fsync of the row; HAS_STEP after the first step.
    # Read by: the producer's durable_step, which looks at HAS_STEP first.
    # Safe: later steps are one store each.
    # Shown by: test_durable_seq_is_never_ahead.
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
        """The writer's present problem; "" if it has none."""
        start = layout.WRITE_ERROR_OFFSET
        room = layout.WRITE_ERROR_END - start
        end = start + min(self.write_error_bytes, room)
        return bytes(self._bytes[start:end]).decode(errors="replace")

    @write_error.setter
    def write_error(self, text: str) -> None:
        start = layout.WRITE_ERROR_OFFSET
        encoded = text.encode(errors="replace")[: layout.WRITE_ERROR_END - start]
        self._bytes[start : start + len(encoded)] = encoded
        self.write_error_bytes = len(encoded)

    @property
    def missing_artifacts(self) -> list[str]:
        """A line for each artifact that could not be stored, while there is room."""
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

    # LANELESS, in the owner's lane.
    # Written by: workers that have no lane, each to the count that belongs to its process id.
    # Read by: the writer, for the rows that were dropped.
    # Safe: where two such workers share a count, one may overwrite the other's last rows. A lock
    # would be worse: a killed worker would leave it locked.
    # Shown by: test_workers_without_descriptors.
    @property
    def laneless_drops(self) -> int:
        """Rows that workers without a lane of their own dropped."""
        counts = self.words[layout.LANELESS : layout.LANELESS + layout.LANELESS_COUNTS]
        return min(sum(counts), LARGEST_COUNT)

    def count_laneless(self, pid: int, rows: int) -> None:
        """Adds to the rows that a process without a lane dropped; `rows` may be negative."""
        word = layout.LANELESS + pid % layout.LANELESS_COUNTS
        self.words[word] = max(0, self.words[word] + rows)

    # CUTOFF_TERMS, CUTOFF_ENTRIES, CUTOFF_BYTES, CUTOFF_GAPS, GAP_TABLE.
    # Written by: the writer, once, CUTOFF_TERMS last.
    # Read by: workers that saw CLOSING, and successors. CUTOFF_TERMS is read first: 0 means that
    # there is no cutoff yet.
    # Safe: none of them changes afterwards, and no writer takes more than they include.
    # Shown by: test_nobody_takes_what_was_refused, test_a_thread_that_was_overtaken.
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
