"""Removes unused shared memory under the address of a writer that ends."""

from __future__ import annotations

from expman.transport import places, segment

__all__ = ["remove_leftovers"]


def remove_leftovers(address: segment.Address, unreadable: set[str]) -> None:
    """Removes what producers that died while claiming a lane left under an address.

    Lanes that could not be read stay: another version of expman may read them.
    """
    for name in places.list_names(address.place, address.segment() + "-"):
        control = "-".join(name.split("-")[:3])
        if control in unreadable:
            continue
        try:
            found = segment.attach(address.place, name)
        except FileNotFoundError:
            segment.remove(address.place, name)  # killed before it had a size
            continue
        except OSError:
            continue
        if not found.is_locked() and not _locked(address.place, control):
            found.unlink()
        found.close()


def _locked(place: str, name: str) -> bool:
    try:
        control = segment.attach(place, name)
    except OSError:
        return False
    try:
        return control.is_locked()
    finally:
        control.close()
