"""The lines that the program printed, as its console.log holds them."""

from __future__ import annotations

from expman.reading.logfile import text_of
from expman.storage.console_log import ConsoleLine, parse_console
from expman.storage.paths import CONSOLE_LOG

__all__ = ["ConsoleLine", "read_console"]


def read_console(run_dir: str, last: int | None = None) -> list[ConsoleLine]:
    """Reads the lines of console.log; none if there is none.

    Args:
        run_dir: directory of the run.
        last: only so many lines from the end.

    Raises:
        StorageError: it cannot be read.
    """
    text = text_of(run_dir, CONSOLE_LOG)
    if last is not None:
        lines = text.split("\n")  # the last one is empty or torn
        text = "\n".join(lines[max(0, len(lines) - 1 - last) :])
    return list(parse_console(text))
