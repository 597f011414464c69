"""Rows that are only in shared memory yet, read without a trace.

Lanes are found by their names, as their writer finds them. Each lane's hello says which run it
belongs to.
"""

from __future__ import annotations

import os

from expman.models import VectorRow
from expman.transport import records as wire
from expman.transport.lane_view import LaneView, all_lanes

__all__ = ["lanes_of", "live_run_dirs", "peek", "unwritten_rows"]


def peek(run_dir: str) -> list[VectorRow]:
    """Rows of a run that are only in shared memory, by producer; see Run.peek."""
    return [row for lane in lanes_of(run_dir) for row in unwritten_rows(lane)]


def lanes_of(run_dir: str) -> list[LaneView]:
    """The lanes of this user, on this machine, that belong to a run."""
    wanted = os.path.realpath(run_dir)
    return [lane for lane in all_lanes() if os.path.realpath(lane.run_dir) == wanted]


def live_run_dirs() -> list[str]:
    """The directories of all runs of this user that log on this machine, each once."""
    return list(dict.fromkeys(lane.run_dir for lane in all_lanes()))


def unwritten_rows(lane: LaneView) -> list[VectorRow]:
    """The rows of a lane that are in no file yet.

    None where the writer gives memory back at this moment: what was there is written.
    """
    control = lane.control
    serial = control.released_terms
    start = control.term_start(serial)
    if start is None and serial:
        return []
    number = start.rows if start is not None else 0
    producer, base = lane.producer, control.seq_base
    rows = []
    for current in range(serial, control.opened_terms):
        records = lane.records(current)
        if records is None:
            return []
        keys: dict[int, tuple[str, ...]] = {}
        for record in records:
            if isinstance(record, wire.Schema):
                keys[record.schema] = record.keys
            elif isinstance(record, wire.Drop):
                number += record.rows
            elif isinstance(record, wire.Vector):
                names = keys.get(record.schema, ())
                values = dict(zip(names, record.values, strict=False))
                rows.append(
                    VectorRow(values, record.step, record.logged_at_ns, producer, base + number)
                )
                number += 1
    written = control.written_rows
    return [row for row in rows if row.seq >= base + written]
