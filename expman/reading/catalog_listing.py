"""What a list shows of a run, as a catalog has it."""

from __future__ import annotations

import datetime
import itertools

from expman.metadata import PRUNED
from expman.models import RunStatus
from expman.reading.json_text import from_json
from expman.reading.listing import MAX_LATEST, MISSING, ListedRun
from expman.reading.run import Run

__all__ = ["cataloged_run"]


def cataloged_run(run: Run) -> ListedRun | None:
    """Returns what a list shows of a run; None if its files must be asked."""
    catalog, row = run._catalog, run._row
    if catalog is None:
        return None
    try:
        if not catalog.holds(row, run):
            return None
        last, facts = (catalog.text(name, row) for name in ("last", "facts"))
        if last is None or facts is None:
            return None
        rest = from_json(facts)
        if any(rest.get(name) for name in MISSING):
            return None
        status = RunStatus.parse(catalog.cell("status", row))
        tags = catalog.cell("tags", row)
        started_at, took = catalog.cell("started_at", row), catalog.cell("duration_s", row)
    except (LookupError, ValueError):
        return None
    duration = None if took is None else datetime.timedelta(seconds=took)
    latest = dict(itertools.islice(from_json(last).items(), MAX_LATEST))
    is_pruned = PRUNED in (tags or ())
    return ListedRun(run._local_dir, status, started_at, duration, "", latest, is_pruned)
