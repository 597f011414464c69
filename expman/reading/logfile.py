"""The messages of a run, as its run.log holds them."""

from __future__ import annotations

import os

from expman.storage.paths import RUN_LOG, read_regular, storage_error
from expman.storage.runlog import LogEntry, parse_log

__all__ = ["LogEntry", "read_log", "text_of"]


def read_log(run_dir: str) -> list[LogEntry]:
    """Reads the messages of run.log; none if there is no run.log.

    Raises:
        StorageError: it cannot be read.
    """
    return list(parse_log(text_of(run_dir, RUN_LOG)))


def text_of(run_dir: str, name: str) -> str:
    """The text of a file of lines; "" if there is none.

    Raises:
        StorageError: it cannot be read.
    """
    path = os.path.join(run_dir, name)
    try:
        return read_regular(path, follow=True).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    except OSError as exc:
        raise storage_error(path, exc) from exc
