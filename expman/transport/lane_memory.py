"""The memory of a lane's terms, as the consumer holds it."""

from __future__ import annotations

import contextlib
import mmap

from expman.transport import nameless, places, segment
from expman.transport.lane_control import LaneControl

__all__ = ["LaneMemory"]

SPARE_DESCRIPTORS = 8
"""Kept free for files: these must be written before any memory is given back."""


class LaneMemory:
    """The slots of a lane.

    Each is mapped as soon as it exists, even before it serves a term: if names are removed and the
    producer dies, this process is the only one that has the memory.

    Args:
        name: name of the lane's control.
        place: where it is.
        pid: its producer; slots whose names were removed are opened through it.
        control: the control.
    """

    def __init__(self, name: str, place: str, pid: int, control: LaneControl) -> None:
        self._start = name + "-"
        self._place = place
        self._pid = pid
        self._control = control
        self._made = 0
        self._slots: dict[int, mmap.mmap] = {}

    def look(self) -> None:
        """Maps the slots that were made since the last look.

        Raises:
            OSError: no descriptor, or no memory, for one of them at present.
        """
        made = self._control.slots_made
        if made == self._made:
            return
        names = {  # a spool's end is not a number
            name
            for name in places.list_names(self._place, self._start)
            if name.removeprefix(self._start).isdecimal()
        }
        if len(names | set(self.names())) < made:
            names.update(nameless.find(self._start, [self._pid]))
        for name in names:
            number = name.removeprefix(self._start)
            if number.isdecimal():
                with contextlib.suppress(FileNotFoundError, PermissionError):
                    self.slot(int(number))
        self._made = made

    def slot(self, number: int) -> mmap.mmap:
        """The memory of a slot.

        Raises:
            FileNotFoundError: it is gone.
            OSError: no descriptor, or no memory, for it at present.
        """
        found = self._slots.get(number)
        if found is None:
            segment.check_spare(SPARE_DESCRIPTORS)
            memory = segment.attach(self._place, self._name(number), [self._pid])
            found = self._slots[number] = memory.map()
            memory.close()  # the mapping is enough
        return found

    def names(self) -> list[str]:
        """The names of the slots that are mapped."""
        return [self._name(number) for number in self._slots]

    def _name(self, number: int) -> str:
        return f"{self._start}{number}"

    def close(self) -> None:
        """Lets go of it."""
        self._slots.clear()
