"""Finds the lanes that were claimed under an address."""

from __future__ import annotations

import time
from collections.abc import Callable
from weakref import WeakValueDictionary

from expman.transport import nameless, segment
from expman.transport.address import lane_numbers
from expman.transport.consumer import LaneConsumer
from expman.writer.held import HeldAddress
from expman.writer.retry import ABANDON_S

__all__ = ["Arrivals"]

RETRY_S = 0.25
SETTLE_S = 0.05
"""Where stores are not ordered, a lane may be announced before its hello shows."""
SPARE_DESCRIPTORS = 16
"""Left for the files: without them no lane could be written, and none would ever be given back."""
PATIENCE_S = 2.0
"""How long a lane may stay closed to us, for lack of descriptors say, before that is reported."""


class _Wait:
    """A lane that is there and cannot be opened at present.

    Attributes:
        why: what keeps it from being opened; None: nothing does.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self.why: str | None = None
        self._warn = warn
        self._since: float | None = None
        self._retry_at = 0.0
        self._is_reported = False

    @property
    def lasts_long(self) -> bool:
        """True if there is no more hope."""
        return self._since is not None and time.monotonic() - self._since >= ABANDON_S

    @property
    def is_over(self) -> bool:
        """True if it is time to try again."""
        return self.why is not None and time.monotonic() >= self._retry_at

    def blame(self, what: str, exc: OSError) -> None:
        """Notes why a lane cannot be opened."""
        self.why = f"{what}: {exc.strerror or exc}"

    def note_look(self) -> None:
        """Notes that all lanes were tried; reports a wait that lasts."""
        now = time.monotonic()
        self._retry_at = now + RETRY_S
        if self.why is None:
            self._since, self._is_reported = None, False
            return
        self._since = self._since or now
        if not self._is_reported and now - self._since >= PATIENCE_S:
            self._is_reported = True
            self._warn(f"{self.why}; it is tried again, its rows wait in shared memory")


class Arrivals:
    """Looks for lanes; each is found once.

    Args:
        held: where they are claimed.
        warn: passes a message on to the user.

    Attributes:
        unreadable: names of lanes that are left alone: another version may read them.
        problems: why lanes could not be read.
    """

    def __init__(self, held: HeldAddress, warn: Callable[[str], None]) -> None:
        self._held = held
        self._warn = warn
        self._wait = _Wait(warn)
        self._served: WeakValueDictionary[int, LaneConsumer] = WeakValueDictionary()
        self._to_reopen: list[LaneConsumer] = []
        self._is_incomplete = False  # a lane had no hello yet
        self._incomplete_until = 0.0
        self._seek_nameless = held.follows
        self._announced: set[int] = set()  # lanes that were not looked for yet
        self.unreadable: set[str] = set()
        self.problems: list[str] = []

    @property
    def waits_for(self) -> str | None:
        """Reason why an existing lane cannot be opened at present: no run may end without it."""
        return self._wait.why

    @property
    def may_find_more(self) -> bool:
        """True if a lane that is there may still be opened: the writer must not end before."""
        return self._wait.why is not None and not self._wait.lasts_long

    def look(self, *, every: bool = False, nameless: bool = False) -> list[LaneConsumer]:
        """The new lanes, those first that were claimed first.

        Args:
            every: look even if none was announced.
            nameless: look for those, too, whose names were removed.
        """
        self._seek_nameless |= nameless
        now = time.monotonic()
        if self._held.has_news():
            every, self._incomplete_until = True, now + SETTLE_S
            self._announced |= self._held.announced
        again = self._is_incomplete and now < self._incomplete_until
        if not (every or again or self._wait.is_over or self._seek_nameless):
            return []
        self._wait.why, self._is_incomplete = None, False
        found: list[LaneConsumer] = []
        known = self._reopen(found).union(self._served)
        try:
            numbers = lane_numbers(self._held.address)
            for number in numbers - known:
                self._open(number, None, found)
            if self._seek_nameless or self._announced - numbers - known:
                self._open_nameless(found, known)
            self._announced.clear()
        except OSError as exc:
            self._wait.blame("no lane can be looked for", exc)
        self._wait.note_look()
        for lane in found:
            self._served[lane.lane] = lane
        return sorted(found, key=lambda lane: lane.hello.started_monotonic_ns)

    def reopen(self, lane: LaneConsumer) -> None:
        """Has `look` find a lane once more, whether it has a name or not."""
        self._served.pop(lane.lane, None)
        self._to_reopen.append(lane)

    def leave_alone(self, number: int, exc: Exception | None = None) -> None:
        """Never looks at a lane again."""
        self.unreadable.add(self._held.address.segment(number))
        if exc is not None:
            self.problems.append(f"a lane cannot be read and was left alone: {exc}")
            self._warn(self.problems[-1])

    def _reopen(self, found: list[LaneConsumer]) -> set[int]:
        """Opens lanes that were served before; their numbers, open or not."""
        lanes, self._to_reopen = self._to_reopen, []
        for lane in lanes:
            try:
                found.append(lane.reopen())
            except OSError as exc:
                self._to_reopen.append(lane)
                self._wait.blame("a lane cannot be opened", exc)
            except Exception as exc:  # noqa: BLE001 - no lane, however damaged, reaches another
                self.leave_alone(lane.lane, exc)
        return {lane.lane for lane in lanes}

    def _open(self, number: int, path: str | None, found: list[LaneConsumer]) -> None:
        address, name = self._held.address, self._held.address.segment(number)
        if name in self.unreadable:
            return
        try:
            segment.check_spare(SPARE_DESCRIPTORS)
            control = segment.attach_nameless(address.place, name, path) if path else None
            lane = LaneConsumer(address, number, control)
        except (FileNotFoundError, PermissionError):
            self._is_incomplete = True  # its producer announces it then, or has given it back
        except OSError as exc:
            self._wait.blame("a lane cannot be opened", exc)
        except Exception as exc:  # noqa: BLE001 - no lane, however damaged, reaches another
            self.leave_alone(number, exc)
        else:
            if path and lane.control.run_ended:
                lane.close()
            else:
                found.append(lane)

    def _open_nameless(self, found: list[LaneConsumer], known: set[int]) -> None:
        """Opens lanes whose names were removed, by the descriptors of those who have them."""
        start = self._held.address.segment() + "-"
        self._seek_nameless = False
        for name, paths in nameless.find(start).items():
            number = name.removeprefix(start)
            if number.isdecimal() and int(number) not in known:
                before = len(found)
                for path in paths:
                    if len(found) == before:
                        self._open(int(number), path, found)
        # On some processors a hello shows later than its announcement.
        may_come = self._is_incomplete and time.monotonic() < self._incomplete_until
        self._seek_nameless = may_come or self._wait.why is not None
