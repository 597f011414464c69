"""Spools in shared memory: a large picture on its way to the writer, copied once.

A segment, ``expman-TOKEN-LANE-mNUMBER``, belongs to one lane, and goes with it::

      0  MAGIC "expmanM1"        8  VERSION
     16  FILLED  producer  number of the medium that lies in it, from 1
     24  FREED   writer    number of the last medium that the writer is done with
     64  content

The producer keeps it mapped and uses it again as soon as both words are the same: its pages are
there, so that a call costs one copy. The record of a medium names the segment and the number of
the medium, as `mNUMBER-FILLED`.
"""

from __future__ import annotations

import contextlib
import mmap
import re
import threading

from expman.errors import CorruptLaneError
from expman.failpoints import hit
from expman.transport import layout, places, segment
from expman.transport.header import check_header, stamp
from expman.transport.lane_control import LaneControl
from expman.transport.words import Word

__all__ = ["CarriedMedium", "MemorySpools", "SpoolMappings", "is_memory_name"]

CONTENT_OFFSET = 64
MOST_SPOOLS = 4
SHARE = 4
"""The spools of a lane have this part of its buffer's limit, and of what its place has free."""
MOST_BYTES = 64 * 1024 * 1024
_STEP_BYTES = 256 * 1024
_NAME = r"m(\d{1,20})-(\d{1,18})"


def is_memory_name(name: str) -> bool:
    """True if a record names a spool in shared memory by it, and not a file."""
    return re.fullmatch(_NAME, name) is not None


class _Spool:
    """One spool, mapped.

    Args:
        memory: the segment.

    Attributes:
        words: its words.
        content: its content.
    """

    # Written by: the producer, before it copies a medium; with the number before, if it takes back
    # one that was not published.
    # Read by: the writer, and the producer itself.
    # Safe: the producer fills a spool only while FREED says that the writer is done with it, and
    # the record is published after the copy: the order is that of a record's bytes and its entry.
    # Shown by: test_a_spool_is_used_again_once_it_is_freed
    filled = Word(layout.SPOOL_FILLED)

    # Written by: the writer, once the medium is in a file and ARTIFACTS_KEPT says so.
    # Read by: the producer.
    # Safe: a record that comes once more, to a successor, has a number below FILLED by then, and
    # frees nothing.
    # Shown by: test_a_record_that_comes_again_frees_no_later_medium
    freed = Word(layout.SPOOL_FREED)

    def __init__(self, memory: mmap.mmap) -> None:
        view = memoryview(memory)
        self.words = view[:CONTENT_OFFSET].cast("Q")
        self.content = view[CONTENT_OFFSET:]


class _OwnSpool(_Spool):
    """One spool in the hands of its producer.

    Attributes:
        number: its part of the segment's name.
        segment: the memory.
    """

    def __init__(self, number: int, memory: segment.Segment) -> None:
        self.number = number
        self.segment = memory
        super().__init__(memory.map())
        stamp(self.words, layout.MAGIC_SPOOL)

    @property
    def is_free(self) -> bool:
        """True if the writer is done with what it held."""
        return self.freed == self.filled

    def remove(self) -> None:
        """Gives the memory back; the writer may still have it mapped."""
        self.segment.unlink()
        self.segment.close()


class MemorySpools:
    """The spools of one lane, as its producer has them.

    Of several threads, and of a signal handler and the code that it interrupts, one looks for a
    free spool at a time. The others get none, and none waits.

    Args:
        address: whose lane it is.
        lane: the lane's number.
        control: the lane's control.
        buffer_bytes: limit of the lane's memory.
    """

    def __init__(
        self, address: segment.Address, lane: int, control: LaneControl, buffer_bytes: int
    ) -> None:
        self._place = address.place
        self._start = f"{address.segment(lane)}-m"
        self._control = control
        self._most_bytes = min(buffer_bytes // SHARE, MOST_BYTES)
        self._lock = threading.Lock()
        self._spools: list[_OwnSpool] = []  # the one that was used last comes last

    def put(self, data: memoryview | bytes) -> str | None:
        """Copies data into a spool; the name for its record, or None if there is no room.

        Durability: the writer finds it whatever becomes of this process.
        """
        size = len(data)
        # A file in a temporary directory would be no quicker than one in the run's directory.
        if self._place != places.SHM or size + CONTENT_OFFSET > self._most_bytes:
            return None
        if not self._lock.acquire(blocking=False):
            return None
        try:
            spool = self._find(size)
            if spool is None:
                return None
            number = spool.freed + 1
            spool.filled = number
        finally:
            self._lock.release()
        try:
            spool.content[:size] = data
            return f"m{spool.number}-{number}"
        except BaseException:  # an interrupt: no record will name it, and nobody else would free it
            spool.filled = spool.freed
            raise

    def take_back(self, name: str) -> None:
        """Frees the spool of a medium that was not published."""
        match = re.fullmatch(_NAME, name)
        for spool in list(self._spools):
            if match is not None and (spool.number, spool.filled) == (int(match[1]), int(match[2])):
                spool.filled = spool.freed

    def _find(self, size: int) -> _OwnSpool | None:
        """A free spool: the one that was used last is in the processor's cache."""
        for spool in reversed(self._spools):
            if spool.is_free and len(spool.content) >= size:
                self._spools.remove(spool)
                self._spools.append(spool)
                return spool
        # Those that are free are too small by now.
        for spool in [spool for spool in self._spools if spool.is_free]:
            self._spools.remove(spool)
            spool.remove()
        return self._make(size) if len(self._spools) < MOST_SPOOLS else None

    def _make(self, size: int) -> _OwnSpool | None:
        room = self._most_bytes - sum(spool.segment.size for spool in self._spools)
        need = min(-(-(size + CONTENT_OFFSET) // _STEP_BYTES) * _STEP_BYTES, room)
        if need < size + CONTENT_OFFSET:
            return None
        number = places.fresh_number()
        try:
            if need * SHARE > places.free_bytes(self._place):
                return None  # the lanes need the rest
            memory = segment.create(self._place, f"{self._start}{number}", need)
        except OSError as exc:
            if exc.errno is None:
                raise  # a signal handler's TimeoutError
            return None
        # The writer stores RUN_ENDED and then lists the names of the lane to remove them: either it
        # finds this one, or the word is seen here (`test_a_spool_that_comes_too_late`).
        try:
            spool = None if self._control.run_ended else _OwnSpool(number, memory)
        except OSError as exc:
            if exc.errno is None:
                raise
            spool = None
        if spool is None:
            memory.unlink()
            memory.close()
            return None
        self._spools.append(spool)
        return spool


class SpoolMappings:
    """The spools that a lane has used last, as its consumer has them mapped.

    They stay mapped: somebody may remove their names, and end the producer. Those that the producer
    has given up since then take memory until others were used.

    Args:
        lane: name of the lane's control.
        place: where it is.
        pid: the lane's producer; a segment without a name is opened through it.
    """

    def __init__(self, lane: str, place: str, pid: int) -> None:
        self._lane = lane
        self._place = place
        self._pid = pid
        self._spools: dict[str, _Spool] = {}  # the one that was used last comes last
        self._lock = threading.Lock()  # one thread makes files of media, another one frees spools

    def name_of(self, number: str) -> str:
        """Name of a spool's segment."""
        return f"{self._lane}-m{number}"

    def find(self, number: str) -> _Spool:
        """The spool of this number.

        Raises:
            CorruptLaneError: it is not one.
            OSError: it is gone, or no descriptor or memory can be had at present.
        """
        with self._lock:
            spool = self._spools.pop(number, None) or self._map(number)
            self._spools[number] = spool
            while len(self._spools) > MOST_SPOOLS:
                del self._spools[next(iter(self._spools))]
        return spool

    def _map(self, number: str) -> _Spool:
        found = segment.attach(self._place, self.name_of(number), [self._pid])
        try:
            memory = found.map()
        finally:
            found.close()
        check_header(self.name_of(number), memory, layout.MAGIC_SPOOL, CONTENT_OFFSET)
        return _Spool(memory)

    def clear(self) -> None:
        """Lets go of them."""
        with self._lock:
            self._spools.clear()


class CarriedMedium:
    """A medium in a spool, as the consumer of its lane sees it.

    Args:
        mappings: the lane's.
        name: as the record has it.
        size: bytes of the medium.
    """

    def __init__(self, mappings: SpoolMappings, name: str, size: int) -> None:
        match = re.fullmatch(_NAME, name)
        assert match is not None
        self._mappings = mappings
        self._spool_number = match[1]
        self._number = int(match[2])
        self._size = size
        self._spool: _Spool | None = None

    def content(self) -> memoryview:
        """Its bytes, which stay as they are until `free`.

        Raises:
            CorruptLaneError: the spool does not have it.
            FileNotFoundError, PermissionError: the spool is gone.
            OSError: no descriptor or memory can be had at present.
        """
        spool = self._open()
        if spool.filled != self._number or len(spool.content) < self._size:
            name = self._mappings.name_of(self._spool_number)
            raise CorruptLaneError(name, 8 * layout.SPOOL_FILLED, "holds another one")
        return spool.content[: self._size]

    def free(self) -> None:
        """Lets the producer use the spool again. Twice is fine."""
        with contextlib.suppress(OSError, CorruptLaneError):
            spool = self._open()
            hit("spool-before-free")
            if spool.filled == self._number:
                spool.freed = self._number
            hit("spool-after-free")
        self._spool = None

    def _open(self) -> _Spool:
        if self._spool is None:
            self._spool = self._mappings.find(self._spool_number)
        return self._spool
