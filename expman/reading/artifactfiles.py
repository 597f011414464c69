"""The artifacts of a run, as they lie in its directory."""

from __future__ import annotations

import os
from collections.abc import Iterator

from expman.storage import paths

__all__ = ["artifact_paths"]


def artifact_paths(run_dir: str) -> list[str]:
    """Returns the paths of the saved files, sorted; links to directories are not followed.

    Raises:
        StorageError: the directory cannot be read.
    """
    directory = os.path.join(run_dir, paths.ARTIFACTS)
    try:
        return sorted(_files_below(directory))
    except OSError as exc:
        raise paths.storage_error(directory, exc) from exc


def _files_below(directory: str) -> Iterator[str]:
    if os.path.islink(directory):
        return
    for folder, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(folder, name)
            if not name.startswith(paths.TEMP_PREFIX) and os.path.isfile(path):
                yield path
