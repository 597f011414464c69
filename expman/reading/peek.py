"""Rows that are only in shared memory yet, read without a trace.

Lanes are found by their names, as their writer finds them; each lane's hello says which run it
belongs to. Nothing is written to the memory, no lock is asked for or taken. A term may be
emptied and used again while it is copied: the writer says so (DRAINED_TERMS, in control) before
it touches the first byte, so a copy counts only if that word is unchanged after it.
`test_peek_while_the_writer_reuses_terms` shows it.

A process that logs must never close a descriptor of its own lane's control: the kernel would
drop the lock that says that it lives. So those controls are opened once and stay open.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator

import msgspec

from expman.errors import ExpmanError
from expman.models import VectorRow
from expman.storage.paths import open_regular
from expman.transport import records as wire
from expman.transport import segment
from expman.transport.lane_control import LaneControl
from expman.transport.liveness import lives
from expman.transport.open_term import OpenTerm, published_records

__all__ = ["Lane", "all_lanes", "lanes_of", "peek"]

_kept: dict[tuple[int, int], tuple[int, mmap.mmap]] = {}


class Lane:
    """A lane, for reading only."""

    def __init__(self, address: segment.Address, number: int, control: memoryview) -> None:
        self._address = address
        self._number = number
        self.control = LaneControl.open(address.segment(number), control)
        self.hello = self.control.hello()
        self.run_dir = self.hello.run_dir

    def producer_alive(self) -> bool:
        """Whether the process that claimed the lane lives."""
        name = self._address.segment(self._number)
        if segment.is_locked_here(self._address.place, name):
            return True
        try:
            control = segment.attach(self._address.place, name)
        except FileNotFoundError:
            return False
        try:
            return lives(control, self.hello.pid)
        finally:
            control.close()

    @property
    def producer(self) -> str:
        """The producer's name in the files, or the wished one as long as no writer has given it."""
        if not self.control.adopted:
            return self.hello.producer
        return self.hello.producer_name(self.control.name_number)

    def rows(self) -> list[VectorRow]:
        """The rows that no file has yet."""
        serial = self.control.released_terms
        start = self.control.term_start(serial)
        number = start.rows if start is not None else 0
        if start is None and serial:
            return []  # the writer is just giving memory back: what was here is written
        producer, base = self.producer, self.control.seq_base
        rows = []
        for current in range(serial, self.control.opened_terms):
            records = self._records(current)
            if records is None:
                return []  # likewise
            keys: dict[int, tuple[str, ...]] = {}
            for record in records:
                match record:
                    case wire.Schema():
                        keys[record.schema] = record.keys
                    case wire.Drop():
                        number += record.rows
                    case wire.Vector():
                        names = keys.get(record.schema, ())
                        values = dict(zip(names, record.values, strict=False))
                        rows.append(
                            VectorRow(
                                values,
                                record.step,
                                record.logged_at_ns,
                                producer,
                                base + number,
                            )
                        )
                        number += 1
        written = self.control.written_rows
        return [row for row in rows if row.seq >= base + written]

    def _records(self, serial: int) -> list[wire.Record] | None:
        """The published records of a term; None if it was emptied meanwhile."""
        slot = self.control.slot(serial)
        term = _copy(self._address, self._address.segment(self._number, slot))
        if term is None or self.control.drained_terms > serial:
            return None
        return published_records(OpenTerm(self._address.segment(self._number, slot), term))


def peek(run_dir: str) -> list[VectorRow]:
    """Rows of a run that are only in shared memory, by producer; see Run.peek."""
    return [row for lane in lanes_of(run_dir) for row in lane.rows()]


def lanes_of(run_dir: str) -> list[Lane]:
    """The lanes of this user, on this machine, that belong to a run."""
    wanted = os.path.realpath(run_dir)
    return [lane for lane in all_lanes() if os.path.realpath(lane.run_dir) == wanted]


def all_lanes() -> Iterator[Lane]:
    """Every lane of this user on this machine."""
    for place in segment.places():
        for name in segment.list_names(place):
            parts = name.split("-")
            if len(parts) != 3 or not parts[2].isdecimal():
                continue
            try:
                address = segment.Address.parse(f"{place}:{parts[1]}")
                yield Lane(address, int(parts[2]), _control(place, name))
            except (OSError, ValueError, ExpmanError, msgspec.DecodeError):
                continue  # gone, not complete yet, or of another version


def _control(place: str, name: str) -> memoryview:
    path = _path(place, name)
    for key, (fd, _) in list(_kept.items()):
        if not os.fstat(fd).st_nlink:  # the lane is gone, and its lock with it
            del _kept[key]
            os.close(fd)
    info = os.stat(path)
    kept = _kept.get((info.st_dev, info.st_ino))
    if kept is None:
        fd = open_regular(path)
        try:
            kept = (fd, mmap.mmap(fd, 0, prot=mmap.PROT_READ))
        finally:
            if kept is not None and segment.is_locked_here(place, name):
                _kept[info.st_dev, info.st_ino] = kept
            else:
                os.close(fd)
    return memoryview(kept[1])


def _copy(address: segment.Address, name: str) -> bytes | None:
    try:
        fd = open_regular(_path(address.place, name))
        with os.fdopen(fd, "rb", buffering=0) as file:
            return file.read() or None
    except OSError:
        return None


def _path(place: str, name: str) -> str:
    return os.path.join("/dev/shm" if place == segment.SHM else place, name)
