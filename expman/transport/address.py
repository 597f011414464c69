"""The segment in which producers and the writer of an address meet."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator

from expman.transport import layout, nameless, places, segment
from expman.transport.address_control import AddressControl

__all__ = [
    "claim_lane",
    "find_all_lanes",
    "find_lanes",
    "give_up_address",
    "lane_numbers",
    "new_address",
    "revive_address",
    "served_elsewhere",
]

_COMPLETE_S = 1.0
"""How long the process that makes an address may take to give it its size."""


def new_address(room_bytes: int) -> tuple[segment.Address, segment.Segment]:
    """Makes an address in a place that has room for so many bytes of lanes.

    Raises:
        SharedMemoryError: neither /dev/shm nor the temporary directory has room.
    """
    address, base = segment.create_anywhere(layout.ADDRESS_BYTES, room_bytes)
    AddressControl.create(base)
    return address, base


def give_up_address(base: segment.Segment) -> None:
    """Removes an address before its first lane; a writer that serves it ends."""
    try:
        AddressControl.open(base).given_up = True
    finally:
        base.unlink()
        base.close()


def revive_address(address: segment.Address) -> segment.Segment:
    """Attaches an address, and makes it anew first if its name was removed.

    Several processes may do so at once. The segment gets its name by a link, so it is either
    complete or absent.

    Raises:
        OSError: no memory, or another user has taken the name.
    """
    name = address.segment()
    deadline = time.monotonic() + _COMPLETE_S
    while True:
        try:
            return segment.attach(address.place, name)
        except FileNotFoundError:
            if time.monotonic() > deadline:
                raise
        new = segment.create(
            address.place, f"{name}-new-{places.fresh_number()}", layout.ADDRESS_BYTES
        )
        AddressControl.create(new).revived = True
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            segment.link(new, name)
        new.unlink()
        new.close()


def served_elsewhere(addresses: Iterable[segment.Address]) -> set[segment.Address]:
    """Those that a writer serves under a segment whose name was removed.

    One look at all processes, for all addresses.
    """
    by_name = {address.segment(): address for address in addresses}
    found = nameless.find(places.PREFIX) if by_name else {}
    return {
        by_name[name] for name in found.keys() & by_name if _is_served(by_name[name], found[name])
    }


def _is_served(address: segment.Address, paths: list[str]) -> bool:
    """True if one of these paths opens a nameless segment of the address that is locked."""
    for path in paths:
        with (
            contextlib.suppress(OSError),
            contextlib.closing(
                segment.attach_nameless(address.place, address.segment(), path)
            ) as base,
        ):
            if base.is_locked():
                return True
    return False


def find_lanes(place: str) -> dict[segment.Address, list[int]]:
    """The addresses of this user in a place, each with the numbers of its lanes, sorted."""
    found: dict[segment.Address, list[int]] = {}
    for name in places.list_names(place):
        token, *numbers = name.removeprefix(places.PREFIX).split("-")
        if len(token) != 32 or len(numbers) > 1:  # a term
            continue
        lanes = found.setdefault(segment.Address(place, token), [])
        lanes += [int(number) for number in numbers if number.isdecimal()]
    return {address: sorted(lanes) for address, lanes in found.items()}


def find_all_lanes() -> Iterator[tuple[segment.Address, list[int]]]:
    """The addresses of this user on this machine, each with the numbers of its lanes."""
    for place in places.all_places():
        yield from find_lanes(place).items()


def lane_numbers(address: segment.Address) -> set[int]:
    """Numbers of the lanes of an address that have names."""
    start = address.segment() + "-"
    ends = [name.removeprefix(start) for name in places.list_names(address.place, start)]
    return {int(end) for end in ends if end.isdecimal()}


def claim_lane(address: segment.Address, size: int) -> tuple[int, segment.Segment]:
    """Creates the control of a new lane, and returns the lane's number with it.

    Raises:
        OSError: no memory.
    """
    while True:
        number = places.fresh_number()
        with contextlib.suppress(FileExistsError):
            return number, segment.create(address.place, address.segment(number), size)
