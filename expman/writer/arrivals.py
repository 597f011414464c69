"""Finds the lanes that were claimed under an address."""

from __future__ import annotations

import time
from collections.abc import Callable
from weakref import WeakValueDictionary

from expman.transport import nameless, segment
from expman.transport.address import lane_numbers
from expman.transport.consumer import LaneConsumer
from expman.writer.held import HeldAddress

__all__ = ["Arrivals"]

RETRY_S = 0.25
SETTLE_S = 0.05
"""Where stores are not ordered, a lane may be announced before its hello shows."""
SPARE_DESCRIPTORS = 16
"""Left for the files: without them no lane could be written, and none would ever be given back."""
PATIENCE_S = 2.0
"""So long a lane that cannot be opened for now is no news."""


class Arrivals:
    """Looks for lanes; each is found once.

    Args:
        held: where they are claimed.
        say: passes a message on to the user.

    Attributes:
        unreadable: names of lanes that are left alone: another version may read them.
        problems: why lanes could not be read.
    """

    def __init__(self, held: HeldAddress, say: Callable[[str], None]) -> None:
        self._held = held
        self._say = say
        self._address = held.address
        self._served: WeakValueDictionary[int, LaneConsumer] = WeakValueDictionary()
        self._retry_at = self._settled_at = 0.0
        self._incomplete = False
        self._again: list[LaneConsumer] = []
        self._waits_since: float | None = None
        self._why: str | None = None
        self._told = False
        self._seek_nameless = held.follows
        self.unreadable: set[str] = set()
        self.problems: list[str] = []

    @property
    def waits_for(self) -> str | None:
        """Why a lane that is there cannot be opened at present: no run may end without it."""
        return self._why

    def look(self, *, every: bool = False, nameless: bool = False) -> list[LaneConsumer]:
        """The new lanes, those first that were claimed first.

        Args:
            every: look even if none was announced.
            nameless: look for those, too, whose names were removed.
        """
        self._seek_nameless |= nameless
        now = time.monotonic()
        if self._held.has_news():
            every, self._settled_at = True, now + SETTLE_S
        due = self._why is not None and now >= self._retry_at
        again = self._incomplete and now < self._settled_at
        if not (every or due or again or self._seek_nameless):
            return []
        self._why, self._incomplete = None, False
        found: list[LaneConsumer] = []
        reopened, self._again = self._again, []
        for lane in reopened:
            try:
                found.append(lane.reopen())
            except OSError as exc:
                self._again.append(lane)
                self._why = f"a lane cannot be opened: {exc.strerror or exc}"
            except Exception as exc:  # noqa: BLE001 - no lane, however damaged, reaches another
                self.leave_alone(lane.lane, exc)
        known = {lane.lane for lane in reopened}.union(self._served)
        try:
            for number in lane_numbers(self._address) - known:
                self._open(number, None, found)
            if self._seek_nameless:
                self._open_nameless(found, known)
        except OSError as exc:
            self._why = f"no lane can be looked for: {exc.strerror or exc}"
        self._note_wait()
        for lane in found:
            self._served[lane.lane] = lane
        return sorted(found, key=lambda lane: lane.hello.started_monotonic_ns)

    def reopen(self, lane: LaneConsumer) -> None:
        """Has `look` find a lane once more, whether it has a name or not."""
        self._served.pop(lane.lane, None)
        self._again.append(lane)

    def leave_alone(self, number: int, exc: Exception | None = None) -> None:
        """Never looks at a lane again."""
        self.unreadable.add(self._address.segment(number))
        if exc is not None:
            self.problems.append(f"a lane cannot be read and was left alone: {exc}")
            self._say(self.problems[-1])

    def _open(self, number: int, path: str | None, found: list[LaneConsumer]) -> None:
        address, name = self._address, self._address.segment(number)
        if name in self.unreadable:
            return
        try:
            segment.check_spare(SPARE_DESCRIPTORS)
            control = segment.attach_nameless(address.place, name, path) if path else None
            lane = LaneConsumer(address, number, control)
        except (FileNotFoundError, PermissionError):
            self._incomplete = True  # its producer announces it then, or has given it back
        except OSError as exc:
            self._why = f"a lane cannot be opened: {exc.strerror or exc}"
        except Exception as exc:  # noqa: BLE001 - no lane, however damaged, reaches another
            self.leave_alone(number, exc)
        else:
            if path and lane.control.run_ended:
                lane.close()
            else:
                found.append(lane)

    def _open_nameless(self, found: list[LaneConsumer], known: set[int]) -> None:
        """Opens lanes whose names were removed, by the descriptors of those who have them."""
        start = self._address.segment() + "-"
        self._seek_nameless = False
        for name, paths in nameless.find(start).items():
            number = name.removeprefix(start)
            if number.isdecimal() and int(number) not in known:
                before = len(found)
                for path in paths:
                    if len(found) == before:
                        self._open(int(number), path, found)
        self._seek_nameless = self._why is not None

    def _note_wait(self) -> None:
        now = time.monotonic()
        self._retry_at = now + RETRY_S
        if self._why is None:
            self._waits_since, self._told = None, False
            return
        self._waits_since = self._waits_since or now
        if not self._told and now - self._waits_since >= PATIENCE_S:
            self._told = True
            self._say(f"{self._why}; it is tried again, its rows wait in shared memory")
