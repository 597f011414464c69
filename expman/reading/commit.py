"""The commit of a run, from the first lines of its provenance."""

from __future__ import annotations

import os
import re

from expman.storage.paths import PROVENANCE_YAML, open_regular

__all__ = ["commit_of"]

_COMMIT = re.compile(rb"^ +commit: *['\"]?([0-9a-f]{7,64})", re.MULTILINE)
_HEAD = 4096


def commit_of(run_dir: str) -> str | None:
    """Returns the commit that a run was started from; None if it was not recorded."""
    try:
        fd = open_regular(os.path.join(run_dir, PROVENANCE_YAML))
    except OSError:
        return None
    try:
        head = os.read(fd, _HEAD)
    except OSError:
        return None
    finally:
        os.close(fd)
    found = _COMMIT.search(head)
    return None if found is None else found[1].decode()
