"""What goes to the terminal: tables for people, JSON for scripts."""

from __future__ import annotations

import json
import os
import sys
from functools import cache
from importlib.metadata import version

import click
from rich.console import Console

from expman.reading.formats import plain
from expman.reading.run import Run

__all__ = ["VERSION", "console", "note", "print_json", "run_facts"]

VERSION = version("expman")


@cache
def console() -> Console:
    """The console for people: as wide as the terminal, colors only where they are wanted.

    rich heeds NO_COLOR and a dumb TERM; without a terminal, lines are not cut.
    """
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 200
    return Console(width=width, highlight=False, soft_wrap=False)


def note(text: str) -> None:
    """Says something to the person, beside the output."""
    click.echo(text, err=True)


def print_json(value: object) -> None:
    """Prints JSON: NaN and infinities as null, times in ISO 8601."""
    click.echo(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False))


def run_facts(run: Run) -> dict[str, object]:
    """What `--json` says about a run."""
    meta = run.metadata
    return {
        "experiment": run.experiment,
        "run": run.name,
        "path": run.path,
        "status": str(meta.status),
        "reason": meta.reason,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "duration_s": run.duration,
        "tags": run.tags,
        "group": run.group,
        "description": meta.description,
        "scalars": meta.scalars,
        "latest": meta.vectors,
        "rows_written": meta.rows_written,
        "rows_dropped": meta.rows_dropped,
        "rows_missing": meta.rows_missing,
    }
