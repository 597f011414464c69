"""trackio, storing into its SQLite file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path


class _Run:
    def __init__(self, directory: str) -> None:
        import trackio

        self._trackio = trackio
        # All runs of a process go into one directory: it is read at the import.
        name = f"{os.path.basename(directory)}-{os.getpid()}"
        trackio.init(project="bench", name=name, embed=False)

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._trackio.log(values, step=step)

    def close(self) -> None:
        self._trackio.finish()


def open_run(directory: str, variant: str) -> _Run:
    """Opens a run of its module-level interface."""
    return _Run(directory)


def count_rows(directory: str, variant: str) -> int:
    """Counts the rows of its table."""
    (path,) = Path(directory).rglob("*.db")
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        return int(database.execute("SELECT count(*) FROM metrics").fetchone()[0])


def read_status(directory: str, variant: str) -> str:
    """Says that there is none."""
    return "none"
