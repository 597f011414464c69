"""Addresses that no writer serves are told apart from those served without a name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from lanes import fresh_address

from expman.transport import layout, nameless, places, segment
from expman.transport.address_control import AddressControl
from expman.writer.stale import stale_addresses

ADDRESSES = 3


def leave_behind(address: segment.Address) -> None:
    """The address looks like that of a writer which died at its end."""
    base = segment.attach(address.place, address.segment())
    control = AddressControl.open(base)
    control.stopping = control.served = True
    base.close()


@contextmanager
def served_without_name(address: segment.Address) -> Iterator[None]:
    """Another process serves the address, whose name is removed and made anew."""
    tells, told = os.pipe()
    ends, ended = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(ended)
            base = segment.attach(address.place, address.segment())
            os.write(told, b"1" if base.try_lock() else b"0")
            os.read(ends, 1)
        finally:
            os._exit(0)
    try:
        assert b"1" == os.read(tells, 1)
        segment.remove(address.place, address.segment())
        base = segment.create(address.place, address.segment(), layout.ADDRESS_BYTES)
        AddressControl.create(base)
        base.close()
        yield
    finally:
        for fd in (tells, told, ends, ended):
            os.close(fd)
        os.waitpid(child, 0)


def test_all_processes_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One look finds the served address among several; it does not grow with their number."""
    looks: list[str] = []

    def find(start: str, pids: Iterable[int] | None = None) -> dict[str, list[str]]:
        if pids is None:
            looks.append(start)
        return original(start, pids)

    original = nameless.find
    monkeypatch.setattr(nameless, "find", find)
    with ExitStack() as stack:
        addresses = [stack.enter_context(fresh_address()) for _ in range(ADDRESSES)]
        stack.enter_context(served_without_name(addresses[0]))
        for address in addresses:
            leave_behind(address)
        found = {stale.address for stale in stale_addresses()}
        assert set(addresses[1:]) == found & set(addresses)
        assert [places.PREFIX] == looks
