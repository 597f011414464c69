"""Output of the command: results go to stdout, diagnostics to stderr.

Names and texts of a run may hold anything, so all text passes `visible`. Only rich's own escapes
reach the terminal.
"""

from __future__ import annotations

import codecs
import json
import os
import sys
from collections.abc import Iterable
from functools import cache
from typing import IO

import click
import msgspec
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from expman.reading.json_values import json_value
from expman.reading.run import Run
from expman.reading.text import visible

__all__ = [
    "adapt_streams",
    "console",
    "format_json",
    "print_json",
    "print_line",
    "print_note",
    "run_record",
]

_BARS = dict(zip("▁▂▃▄▅▆▇█", "_.-~=+*#", strict=True))
_LINES = dict.fromkeys("┌┐└┘├┤┬┴┼", "+") | {"─": "-", "│": "|"}
_SIGNS = {"–": "-", "…": "~", "→": ">", "⢕": "*"}
_INSTEAD = _BARS | _LINES | _SIGNS
_BRAILLE = range(0x2801, 0x2900)


class _Console(Console):
    """Prints names and texts as they are, without what would drive the terminal."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(visible(segment.text, keep="\n"), segment.style)


@cache
def console() -> Console:
    """Returns the console for people: as wide as the terminal, with colors where they are wanted.

    rich honors NO_COLOR and a dumb TERM. Without a terminal, lines are not cut.
    """
    terminal = sys.stdout is not None and sys.stdout.isatty()
    width = None if terminal or "COLUMNS" in os.environ else 200
    return _Console(width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)


def adapt_streams() -> None:
    """Makes stdout and stderr accept every character, whatever their encoding is.

    In a C locale, under cron or on a Windows code page, our own signs are replaced by plain
    ones, and other characters by escapes.
    """
    codecs.register_error("expman", _plainer)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="expman")


def _plainer(exc: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(exc, UnicodeEncodeError):
        raise exc
    text = exc.object[exc.start : exc.end]
    return "".join(map(_plain_sign, text)), exc.end


def _plain_sign(character: str) -> str:
    if ord(character) in _BRAILLE:
        return "*"
    return _INSTEAD.get(character) or character.encode("ascii", "backslashreplace").decode()


def print_line(text: str) -> None:
    """Prints lines of a result to stdout."""
    click.echo(visible(text, keep="\n"))


def print_note(text: str) -> None:
    """Prints a diagnostic to stderr."""
    click.echo(visible(text, keep="\n"), err=True)


def print_json(value: object) -> None:
    """Prints a result as JSON to stdout: NaN and infinities as null, times in ISO 8601."""
    click.echo(format_json(value, sys.stdout, indent=2))


def format_json(value: object, stream: IO[str] | None, indent: int | None = None) -> str:
    """Returns JSON with every text exact; escapes stand for what would drive a terminal."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    is_ascii = codecs.lookup(encoding).name != "utf-8"
    text = json.dumps(json_value(value), indent=indent, ensure_ascii=is_ascii, allow_nan=False)
    # Newlines are our own here: those of texts are escaped already.
    return visible(text, keep="\n", escape=lambda character: json.dumps(character)[1:-1])


def run_record(run: Run) -> dict[str, object]:
    """Returns the facts of a run for `--json`."""
    meta = run.metadata
    return {
        "experiment": run.experiment,
        "run": run.name,
        "path": run._place,
        "status": str(meta.status),
        "reason": meta.reason,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "duration_s": run.duration,
        "tags": run.tags,
        "group": run.group,
        "description": meta.description,
        "scalars": meta.scalars,
        "latest": meta.vectors,
        "rows_written": meta.rows_written,
        "rows_superseded": meta.rows_superseded,
        "rows_dropped": meta.rows_dropped,
        "rows_missing": meta.rows_missing,
        "best": msgspec.to_builtins(meta.best),
    }
