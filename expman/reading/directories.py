"""The directories of experiments and runs below a base directory."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator

from expman.errors import StorageError
from expman.storage import paths

__all__ = ["experiments", "is_run", "run_dirs"]


def experiments(base_dir: str) -> list[str]:
    """Returns the names of the experiments, sorted; hidden directories are none.

    Raises:
        StorageError: there is no base directory.
    """
    try:
        with os.scandir(base_dir) as entries:
            names = [entry.name for entry in entries if entry.is_dir()]
    except FileNotFoundError as exc:
        detail = "no such directory; set base_dir, --base-dir or EXPMAN_BASE_DIR"
        raise StorageError(base_dir, detail) from exc
    except OSError as exc:
        raise paths.storage_error(base_dir, exc) from exc
    return sorted(name for name in names if not name.startswith("."))


def run_dirs(
    base: str, chosen: Collection[str] | None, *, missing_ok: bool = False
) -> Iterator[str]:
    """Finds the directories that may be runs, in the chosen experiments; hidden ones are not.

    Raises:
        StorageError: the base directory does not exist, and `missing_ok` is not set.
    """
    if missing_ok and not os.path.isdir(base):
        return
    for name in experiments(base):
        if chosen is not None and name not in chosen:
            continue
        experiment_dir = os.path.join(base, name)
        try:
            with os.scandir(experiment_dir) as entries:
                found = list(entries)
        except OSError:
            continue
        for entry in found:
            if not entry.name.startswith(".") and entry.is_dir():
                yield entry.path


def is_run(directory: str) -> bool:
    """Returns whether a directory without run.yaml has other files of a run."""
    try:
        names = os.listdir(directory)
    except OSError:
        return False
    ours = {paths.VECTORS_PARQUET, paths.CONFIG_YAML, paths.RUN_LOG}
    return any(name in ours or paths.tail_number(name) is not None for name in names)
