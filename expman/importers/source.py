"""What an importer has found: one run of another tracker."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from expman.importers.imported_run import ImportedRun

__all__ = ["Advance", "Source", "state_of"]

Advance: TypeAlias = Callable[[int], None]
"""Is called with the number of bytes that were read."""


@dataclass(frozen=True)
class Source:
    """One run to be imported.

    Attributes:
        tracker: the format's name.
        path: file or directory, for messages.
        identity: tells it from every other run of the tracker, whenever it is imported.
        name: the run's name there.
        read: fills a run, and says how many bytes it has read.
        size: bytes that there are to be read.
        experiment: the experiment's or the project's name there, if it has one.
        state: what changes whenever the source does; "" if that is not known.
        times: begin and end, in nanoseconds, of a run that does not say them.
        about: the description of a run that has none.
    """

    tracker: str
    path: str
    identity: str
    name: str
    read: Callable[[ImportedRun, Advance], None] = field(repr=False)
    size: int = 0
    experiment: str | None = None
    state: str = ""
    times: tuple[int, int] = (0, 0)
    about: str = ""


def state_of(paths: Iterable[str]) -> str:
    """Digest of the names, sizes and times of files."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            found = os.stat(path)
        except OSError:
            continue
        digest.update(repr((path, found.st_size, found.st_mtime_ns)).encode("utf-8", "replace"))
    return digest.hexdigest()[:32]
