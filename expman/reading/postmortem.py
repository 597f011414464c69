"""Explains how a run ended, or why it stands still, for `expman why`."""

from __future__ import annotations

import datetime

from expman.models import RunStatus
from expman.reading.run import Run
from expman.storage.postmortem import PostMortem, describe, read_post_mortem
from expman.storage.stacks import NO_ROWS

__all__ = ["PostMortem", "why"]


def why(run: Run) -> str:
    """The post-mortem of a run as text, or where the run stands.

    Raises:
        StorageError: a file cannot be read.
    """
    found = read_post_mortem(run.path)
    if found is not None:
        return describe(run.name, found)
    meta = run.metadata
    if meta.status is RunStatus.RUNNING:
        return _where_it_stands(run)
    if meta.reason:
        return f"# {run.name}: {meta.status}\n\n- {meta.reason} (run.yaml)\n"
    return f"# {run.name}: {meta.status}\n\nNothing went wrong.\n"


def _where_it_stands(run: Run) -> str:
    meta = run.metadata
    lines = [f"# {run.name}: RUNNING", ""]
    latest = max(run.peek(), key=lambda row: row.timestamp_ns, default=None)
    moment = latest.timestamp_ns / 1e9 if latest is not None else _last_written(run)
    if moment is None:
        lines.append("- no row so far")
    else:
        ago = datetime.datetime.now(datetime.UTC).timestamp() - moment
        lines.append(f"- the last row came {ago:.0f} s ago")
    if meta.stalled_since:
        lines.append(f"- it has stood still since {meta.stalled_since} (run.yaml)")
        for entry in run.log()[-6:]:
            if "stacks" in entry.message or entry.message.startswith(NO_ROWS):
                lines.append(f"- {entry.message} (run.log)")
    return "\n".join(lines) + "\n"


def _last_written(run: Run) -> float | None:
    table = run.vectors(["timestamp"])
    last = table["timestamp"][-1].as_py() if table.num_rows else None
    return last.timestamp() if last is not None else None
