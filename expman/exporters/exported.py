"""What an export has made, and what it left out."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from expman.storage.paths import TEMP_PREFIX, create_temp, fsync_dir

__all__ = ["Exported", "flat_params", "whole_directory", "whole_file"]


@dataclass
class Exported:
    """The outcome.

    Attributes:
        place: file or directory that was made.
        left_out: number of values that the format has no place for, by kind.
        renamed: names that the format allows, by the names in the run.
    """

    place: str = ""
    left_out: Counter[str] = field(default_factory=Counter)
    renamed: dict[str, str] = field(default_factory=dict)


def flat_params(params: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Parameters of nested mappings, with dots between the names."""
    found: dict[str, object] = {}
    for key, value in params.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            found |= flat_params(value, f"{name}.")
        else:
            found[name] = value
    return found


@contextlib.contextmanager
def whole_file(path: str) -> Iterator[int]:
    """Gives the descriptor of a file that gets its name at the end; one that fails gets none.

    A pipe or a device that is there is written to as it is.

    Raises:
        OSError: it cannot be written.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            yield fd
        finally:
            os.close(fd)
        return
    target = os.path.realpath(path)  # what a link leads to is replaced, not the link
    directory = os.path.dirname(target)
    fd, temp = create_temp(directory)
    try:
        try:
            yield fd
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temp, target)
        fsync_dir(directory)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temp)
        raise


@contextlib.contextmanager
def whole_directory(path: str) -> Iterator[str]:
    """Gives a directory that takes the place of `path` at the end; one that fails is removed.

    Raises:
        OSError: it cannot be written.
    """
    parent = os.path.dirname(path)
    temp = os.path.join(parent, TEMP_PREFIX + os.path.basename(path))
    old = f"{temp}-earlier"
    shutil.rmtree(temp, ignore_errors=True)  # of an export that was killed
    if os.path.lexists(old) and not os.path.lexists(path):
        os.rename(old, path)
    shutil.rmtree(old, ignore_errors=True)
    os.mkdir(temp)
    try:
        yield temp
        if os.path.lexists(path):
            os.rename(path, old)
        os.rename(temp, path)
        fsync_dir(parent)
    except BaseException:
        shutil.rmtree(temp, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)
