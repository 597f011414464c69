"""The formats that can be imported, and which of them a path has."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping

from expman.importers import lines, mlflow, neptune, tensorboard, trackio, wandb
from expman.importers.source import Source

__all__ = ["FINDERS", "find"]

FINDERS: Mapping[str, Callable[[str, Counter[str]], list[Source]]] = {
    "csv": lines.find_csv,
    "jsonl": lines.find_jsonl,
    "mlflow": mlflow.find,
    "neptune": neptune.find,
    "tensorboard": tensorboard.find,
    "trackio": trackio.find,
    "wandb": wandb.find,
}
"""By the name of the format: what finds the runs in a file, or below a directory."""

_PLAIN = ("csv", "jsonl")
"""Files that may have anything: below a directory they are looked for only if they are meant."""


def find(path: str, left_out: Counter[str], tracker: str | None = None) -> dict[str, list[Source]]:
    """The runs at a path, by format; only formats that are there.

    Args:
        path: a file or a directory.
        left_out: gets the numbers of what is there and is not a run to be imported.
        tracker: the only format to look for.

    Raises:
        OSError: the path cannot be read.
    """
    wanted = FINDERS if tracker is None else {tracker: FINDERS[tracker]}
    if tracker is None and not os.path.isfile(path):
        wanted = {name: finder for name, finder in wanted.items() if name not in _PLAIN}
    found = {name: finder(path, left_out) for name, finder in wanted.items()}
    return {name: sources for name, sources in found.items() if sources}
