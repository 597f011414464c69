"""Reading a term record by record, where a batch of it does not add up as a whole.

Each record carries its ordinal, so the index shows for each whether it was published. Bytes that
are not a record are left out once nothing can make a record of them any more.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from expman.errors import CorruptLaneError
from expman.transport import layout
from expman.transport import records as wire
from expman.transport.open_term import BATCH_RECORDS, OpenTerm, decode_at

__all__ = ["Salvage", "salvage"]


class Salvage(msgspec.Struct):
    """Result of a salvage.

    Attributes:
        records: in the order of the term.
        lost_rows: published rows that lay in bytes that are unreadable.
        lost_records: published records, these rows among them, that did.
        problems: what was unreadable and had to be left out.
    """

    records: list[wire.Record] = []
    lost_rows: int = 0
    lost_records: int = 0
    problems: list[CorruptLaneError] = []


def salvage(
    term: OpenTerm,
    sealed_bytes: int | None,
    counted: tuple[int, int],
    *,
    dead: bool,
    no_more: bool,
) -> Salvage:
    """Takes record by record, only those that are known to be whole.

    Args:
        term: what is read; its position and its gaps advance.
        sealed_bytes: of a sealed term's data; None for an open one.
        counted: rows and records of the term that were taken or lost so far.
        dead: the producer is gone.
        no_more: the producer has sealed the lane.
    """
    sealed, entries = sealed_bytes, term.seen.entries(term.index, dead=dead)
    limit = len(term.data) if sealed is None or term.position >= sealed else sealed
    settled = dead or no_more or term.waited()
    term.fill_gaps()
    unread = term.appended() or (sealed or 0) > term.position
    if not unread and (sealed is not None or not term.is_any_near()):
        if sealed is None:
            term.stuck_since = None
        return Salvage()
    taken, ends, published = _walk(term, limit, entries)
    usable = len(taken) if sealed is not None and settled else published
    found = Salvage()
    if not usable and settled:
        damage = ends[-1] if ends else term.position
        behind = _find_published(term, damage, limit)
        if behind is not None and taken:
            usable = len(taken)  # they lie before a published record; the damage is next
        elif behind is not None:
            return _skip_to(term, behind, counted)
        else:
            return _give_up(term, limit, sealed, dead, counted)
    if usable:
        found.records = taken[:usable]
        _advance(term, found.records, ends[usable - 1])
    return found


def _advance(term: OpenTerm, taken: list[wire.Record], position: int) -> None:
    term.position = position
    ordinals = [record.ordinal for record in taken if record.ordinal < len(term.index)]
    reached = max(term.slot, *(ordinal + 1 for ordinal in ordinals), 0)
    # A thread whose record was taken may be about to store its entry all the same.
    passed = term.gaps.union(range(term.slot, reached))
    term.gaps = {entry for entry in passed if not term.index[entry]}
    term.slot = reached
    term.stuck_since = None


def _walk(
    term: OpenTerm, limit: int, entries: Sequence[int]
) -> tuple[list[wire.Record], list[int], int]:
    """Decodes records one after the other; how many lead up to the last published one."""
    taken: list[wire.Record] = []
    ends: list[int] = []
    published = 0
    position = start = term.position
    while position < limit and len(taken) < BATCH_RECORDS:
        record = decode_at(term, position, limit)
        if record is None:
            # Damage may show only behind a record, where its length was hit.
            if taken and term.data[position] and not term.agrees(taken[-1], position - start):
                taken.pop()
                ends.pop()
            break
        start, position = position, record[1]
        taken.append(record[0])
        ends.append(position)
        if record[0].ordinal < len(entries) and entries[record[0].ordinal]:
            published = len(taken)
    return taken, ends, min(published, len(taken))


def _find_published(term: OpenTerm, start: int, limit: int) -> tuple[int, wire.Record, int] | None:
    """The first record behind `start` that the index confirms: its offset, itself, its end."""
    used = start + len(bytes(term.data[start:limit]).rstrip(b"\0"))
    for offset in range(start + 1, used):
        record = decode_at(term, offset, limit)
        if record is not None and term.published(record[0].ordinal, record[1] - offset):
            return offset, *record
    return None


def _skip_to(
    term: OpenTerm, found: tuple[int, wire.Record, int], counted: tuple[int, int]
) -> Salvage:
    """Leaves out bytes that are not a record, and takes the record behind them."""
    offset, record, end = found
    rows, records = _published(term, record.ordinal, counted)
    problem = _unreadable(term, term.position, offset)
    term.position, term.slot, term.gaps = end, max(term.slot, record.ordinal + 1), set()
    term.stuck_since = None
    return Salvage([record], rows, records, [problem])


def _give_up(
    term: OpenTerm, limit: int, sealed: int | None, dead: bool, counted: tuple[int, int]
) -> Salvage:
    """Leaves out the rest of a term, unless more may come or nothing is lost by it.

    The last bytes of a dead producer that have no index entry are from a call that never
    returned: they are not a loss.
    """
    start = term.position
    term.stuck_since = None
    if sealed is None and not (dead and term.has_entries()):
        return Salvage()
    # Zeros are damage, too, where the producer's words say that there are records.
    damaged = start < (sealed or 0) or any(term.data[start:limit])
    rows, records = _published(term, len(term.index), counted) if damaged else (0, 0)
    term.position, term.slot, term.gaps = limit, len(term.index), set()
    return Salvage([], rows, records, [_unreadable(term, start, limit)] if damaged else [])


def _published(term: OpenTerm, end: int, counted: tuple[int, int]) -> tuple[int, int]:
    """Numbers of rows and of records with an entry below `end` that were neither taken nor lost.

    Damage may hide an entry, or make an ordinal a larger one, so that entries count as taken whose
    records were not. The rows behind must have the same numbers for a successor, whatever has
    happened to those before: one that seems to have been written would be left out. So the larger
    count holds.
    """
    behind, all_of_them = _entries(term, term.slot, end), _entries(term, 0, end)
    rows, records = (
        max(new, every - known)
        for new, every, known in zip(behind, all_of_them, counted, strict=True)
    )
    return rows, records


def _entries(term: OpenTerm, start: int, end: int) -> tuple[int, int]:
    entries = [entry for entry in term.index[start:end].tolist() if entry != layout.VOID]
    return sum(0 < entry < layout.OTHER for entry in entries), sum(map(bool, entries))


def _unreadable(term: OpenTerm, start: int, end: int) -> CorruptLaneError:
    return CorruptLaneError(term.name, term.data_offset + start, f"{end - start} bytes unreadable")
