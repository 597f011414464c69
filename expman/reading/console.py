"""Output of the program, from its console.log."""

from __future__ import annotations

import os

from expman.storage.console_log import ConsoleLine, parse_console
from expman.storage.paths import CONSOLE_LOG, read_regular, storage_error

__all__ = ["ConsoleLine", "read_console"]


def read_console(run_dir: str, last: int | None = None) -> list[ConsoleLine]:
    """Reads the lines of console.log; none if there is none.

    Args:
        run_dir: directory of the run.
        last: only so many lines from the end.

    Raises:
        StorageError: it cannot be read.
    """
    path = os.path.join(run_dir, CONSOLE_LOG)
    try:
        text = read_regular(path, follow=True).decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise storage_error(path, exc) from exc
    lines = text.split("\n")
    if last is not None:  # the last one is empty or torn
        text = "\n".join(lines[max(0, len(lines) - 1 - last) :])
    return list(parse_console(text))
