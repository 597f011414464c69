"""What tells whether a file is still the one that was read: renames replace files."""

from __future__ import annotations

import os

__all__ = ["signature_of"]


def signature_of(run_dir: str, name: str) -> str:
    """What tells whether a file of a run was replaced; "" if there is none."""
    try:
        info = os.stat(os.path.join(run_dir, name))
    except OSError:
        return ""
    return f"{info.st_ino}:{info.st_mtime_ns}:{info.st_size}"
