"""A lane in the hands of the process that claimed it: its control and its terms."""

from __future__ import annotations

import contextlib

from expman.errors import ExpmanError
from expman.transport import layout, places, ring, segment
from expman.transport.address import claim_lane, revive_address
from expman.transport.address_control import AddressControl
from expman.transport.cutoff import CutoffWatch
from expman.transport.hello import Hello, encode_hello
from expman.transport.lane_control import LaneControl
from expman.transport.spool_memory import MemorySpools

__all__ = ["FIRST_BYTES", "Lane", "remains_of"]

FIRST_BYTES = 2 * ring.FIRST_TERM_BYTES + 2 * layout.CONTROL_BYTES
"""What a new lane needs before it grows."""


class Lane:
    """A lane that this process has claimed.

    Args:
        address: where the writer looks for lanes.
        hello: who logs, and into which run.
        slots: terms that memory is made for at once.
        revive: an address whose name is gone is made anew: the run goes on.
        is_shown: the writer can see it at once; otherwise not before `show`.

    Attributes:
        number: identifies it under its address.
        segment: its control's memory; the lock on it shows that this process lives.
        control: its control.
        ring: its terms.
        spools: its spools; None where only remains of it are left.
        cutoff: how far the writer took its records at the run's end; None for an owner's lane.

    Raises:
        FileNotFoundError: the address is gone.
        SharedMemoryError, OSError: no memory or descriptor can be had for it.
    """

    _base: segment.Segment | None = None
    _news: AddressControl | None = None
    _hello_bytes = 0
    cutoff: CutoffWatch | None = None
    spools: MemorySpools | None = None

    def __init__(
        self,
        address: segment.Address,
        hello: Hello,
        slots: int,
        *,
        revive: bool = True,
        is_shown: bool = True,
    ) -> None:
        self._address = address
        self._revives = revive
        base = _meet(address, revive)
        self._base = base
        self._news = AddressControl.open(base)
        self._claim(hello, slots)
        if is_shown:
            self.show()
            self.settle()

    def _claim(self, hello: Hello, slots: int) -> None:
        encoded = encode_hello(hello)
        self._hello_bytes = len(encoded)
        self.number, self.segment = claim_lane(self._address, layout.CONTROL_BYTES + len(encoded))
        try:
            # Before the lane is shown: the lock is what shows that this process lives.
            self.segment.try_lock()
            self.control = LaneControl.create(self.segment.map(), hello, encoded)
            if hello.role != "owner":
                self.cutoff = CutoffWatch(self.control, hello.run_dir)
            self.ring = ring.Ring(
                self._address,
                self.number,
                self.control,
                hello.max_buffer_bytes,
                slots,
                self.cutoff,
            )
            self.spools = MemorySpools(
                self._address, self.number, self.control, hello.max_buffer_bytes
            )
        except BaseException:
            self.segment.unlink()
            self.segment.close()
            raise

    def show(self) -> None:
        """Shows it to the writer. Twice is fine."""
        self.control.hello_bytes = self._hello_bytes
        if (news := self._news) is not None:
            news.announce_lane(self.number)

    def settle(self) -> None:
        """Announces a lane again if the address was removed while the lane was shown."""
        with contextlib.suppress(OSError, ExpmanError):
            # The address was removed before the lane was shown: its writer no longer looks there.
            if self._revives and self._base is not None and not segment.links(self._base):
                AddressControl.open(revive_address(self._address)).announce_lane(self.number)
        self._base = self._news = None

    def remove(self) -> None:
        """Takes it back before it is shown."""
        self.segment.unlink()
        self.ring.remove()

    def seal(self) -> None:
        """Seals it: no record comes any more. Twice is fine."""
        self.ring.end()
        self.control.sealed = True

    def give_back(self) -> None:
        """Seals it, empty: the run began to close while it was claimed.

        The writer removes it. But where it has removed the address before it could find the
        lane, nobody would: then it is removed here. (Claimed first and looked afterwards, here;
        removed first and looked afterwards, there: one of the two sees the other.)
        """
        self.seal()
        if not places.exists(self._address.place, self._address.segment()):
            self.remove()


def remains_of(lane: Lane | None, hello: Hello) -> Lane:
    """Remains of a lane whose memory was given back: its number, its control's last words."""
    left = Lane.__new__(Lane)
    left.number = -1 if lane is None else lane.number
    left.control = LaneControl.unclaimed(hello) if lane is None else lane.control.remains()
    return left


def _meet(address: segment.Address, revive: bool) -> segment.Segment:
    return revive_address(address) if revive else segment.attach(address.place, address.segment())
