"""`expman.Run`, which also opens what is not a directory: a run in a store, or one by its name."""

from __future__ import annotations

import os

from expman.errors import ConfigError, StorageError
from expman.reading.named import named_run
from expman.reading.run import Run
from expman.settings import BASE_DIR

__all__ = ["Run"]


def _open(text: str, base_dir: str | None) -> Run:
    is_path = text.startswith((os.sep, os.curdir + os.sep, os.pardir + os.sep))
    if is_path or "\0" in text:
        raise StorageError(text, "no such directory; list the runs with expman.runs()")
    base = base_dir or os.environ.get("EXPMAN_BASE_DIR") or BASE_DIR
    if "://" not in text and "://" not in base and not os.path.isdir(base):
        raise StorageError(
            text, f"no such directory, and no base directory {base} to look it up in"
        )
    try:
        return named_run(text, base)
    except ConfigError as exc:
        if exc.setting != "run":
            raise
        raise StorageError(text, f"no such directory; {exc.rule}") from None


Run._elsewhere = staticmethod(_open)
