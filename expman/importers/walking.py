"""Walks through a directory of others: links are followed, each directory is seen once."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

from expman.models import safe_text

__all__ = ["walk"]


def walk(path: str, left_out: Counter[str]) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yields each directory, the names of directories in it, and those of files, sorted.

    A name that the caller removes from the first list is not walked into. Links come last, so that
    a directory has its own name, and loops end.

    Args:
        path: where to begin.
        left_out: gets the directories that cannot be read.
    """

    def note(exc: OSError) -> None:
        left_out[f"directory that cannot be read: {safe_text(str(exc.filename))}"] = 1

    seen: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(path, onerror=note, followlinks=True):
        try:
            found = os.stat(folder)
        except OSError as exc:
            note(exc)
            folders.clear()
            continue
        if (found.st_dev, found.st_ino) in seen:
            folders.clear()
            continue
        seen.add((found.st_dev, found.st_ino))
        folders.sort(key=lambda name: (os.path.islink(os.path.join(folder, name)), name))
        yield folder, folders, sorted(names)
