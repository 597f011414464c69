"""What a program has printed, as wandb keeps it: pieces, not lines."""

from __future__ import annotations

from expman.importers.imported_run import ImportedRun

__all__ = ["PrintedPieces"]

_MOST_CHARACTERS = 1_000_000


class PrintedPieces:
    """Joins pieces to lines. Of parts that overwrite each other (`\\r`) the last one is kept.

    Attributes:
        has_lines: there was a piece.
    """

    def __init__(self, run: ImportedRun) -> None:
        self._run = run
        self._begun = {"out": "", "err": ""}
        self.has_lines = False

    def take(self, stream: str, time_ns: int, text: str) -> None:
        """Takes a piece of "out" or "err"."""
        self.has_lines = True
        *lines, rest = (self._begun[stream] + text).replace("\r\n", "\n").split("\n")
        if len(rest) > _MOST_CHARACTERS:
            lines, rest = [*lines, rest], ""
        self._begun[stream] = rest
        if lines:
            self._run.print_lines(stream, time_ns, list(map(_last_part, lines)))

    def finish(self, time_ns: int) -> None:
        """Takes what has no line end."""
        for stream, text in self._begun.items():
            if text:
                self._run.print_lines(stream, time_ns, [_last_part(text)])


def _last_part(line: str) -> str:
    return line.rstrip("\r").rpartition("\r")[2]
