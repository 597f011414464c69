"""The address that a writer serves. It is locked, and made again when its name is removed."""

from __future__ import annotations

import os

from expman.errors import ExpmanError
from expman.transport import segment
from expman.transport.address import revive_address, served_elsewhere
from expman.transport.address_control import AddressControl

__all__ = ["AddressTakenError", "HeldAddress"]


class AddressTakenError(ExpmanError):
    """Another writer serves the address."""

    def __init__(self, address: segment.Address) -> None:
        super().__init__(f"another writer serves {address}")


class HeldAddress:
    """Holds an address for this process.

    Args:
        address: the address.

    Attributes:
        control: its words.
        follows: other writers have served it, or names were removed: lanes may be nameless.
        announced: numbers of lanes that the latest news was about; earlier ones may be missing.

    Raises:
        FileNotFoundError: there is no such address.
        AddressTakenError: another writer serves it.
    """

    def __init__(self, address: segment.Address) -> None:
        self.address = address
        self._base = self._attach()
        if segment.links(self._base) == 0:  # its writer ended between our two steps
            raise FileNotFoundError(address.segment())
        self.control = AddressControl.open(self._base)
        self.follows = bool(self.control.writer_starts or self.control.revived)
        if self.follows and served_elsewhere([address]):
            self._base.close()
            raise AddressTakenError(address)
        self.control.note_writer(os.getpid())
        self._seen: list[int] | None = None
        self.announced: set[int] = set()
        # Those whose names were removed: a producer may be announcing a lane there, and what
        # waits for the end of this writer waits for their locks.
        self._former: list[segment.Segment] = []
        self._former_controls: list[AddressControl] = []

    def _attach(self) -> segment.Segment:
        base = segment.attach(self.address.place, self.address.segment())
        if not base.try_lock():
            base.close()
            raise AddressTakenError(self.address)
        return base

    def has_news(self) -> bool:
        """True if lanes may have been claimed since the last call."""
        news = [control.news for control in (self.control, *self._former_controls)]
        if news == self._seen:
            return False
        self.announced = set(news).difference(self._seen or (), [0])
        self._seen = news
        return True

    def check(self) -> None:
        """Checks that this process still holds it.

        Raises:
            AddressTakenError: it does not, and a successor is at work.
        """
        if not self._base.try_lock():
            raise AddressTakenError(self.address)

    def lost_its_name(self) -> bool:
        """True if its name was removed by another process."""
        return segment.links(self._base) == 0

    def renew(self) -> bool:
        """Makes the address again under its old name; False: another process has that name now.

        Raises:
            OSError: there is no memory or no descriptor, or another user has taken the name.
        """
        base = revive_address(self.address)
        if not base.try_lock():
            base.close()
            return False
        control = AddressControl.open(base)
        control.follow(self.control, os.getpid())
        self._former.append(self._base)
        self._former_controls.append(self.control)
        self._base, self.control = base, control
        return True

    def remove(self) -> None:
        """Removes its name, so that no lane can be claimed under it any more."""
        self.control.stopping = True
        self._base.unlink()

    def close(self) -> None:
        """Releases the locks: from now on no process waits for this one."""
        for base in (*self._former, self._base):
            base.close()
