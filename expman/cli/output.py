"""What goes to the terminal: tables for people, JSON for scripts.

What people see passes `visible`: names and texts of a run may hold anything. Escapes that drive
the terminal are rich's own.
"""

from __future__ import annotations

import codecs
import json
import os
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from typing import IO

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from expman.reading.export import json_value
from expman.reading.run import Run
from expman.reading.text import visible

__all__ = [
    "VERSION",
    "adapt_streams",
    "console",
    "json_text",
    "note",
    "print_json",
    "run_facts",
    "say",
]

VERSION = version("expman-sidecar")
_BARS = dict(zip("▁▂▃▄▅▆▇█", "_.-~=+*#", strict=True))
_LINES = dict.fromkeys("┌┐└┘├┤┬┴┼", "+") | {"─": "-", "│": "|"}
_SIGNS = {"–": "-", "…": "~", "→": ">", "⢕": "*"}
_INSTEAD = _BARS | _LINES | _SIGNS
_BRAILLE = range(0x2801, 0x2900)


class _Console(Console):
    """Prints names and texts as they are, and nothing of them that drives the terminal."""

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
    """The console for people: as wide as the terminal, colors only where they are wanted.

    rich heeds NO_COLOR and a dumb TERM; without a terminal, lines are not cut.
    """
    terminal = sys.stdout is not None and sys.stdout.isatty()
    width = None if terminal or "COLUMNS" in os.environ else 200
    return _Console(width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)


def adapt_streams() -> None:
    """Has standard output and error take every character, whatever their encoding is.

    Our own signs get a plain one in their place, other characters an escape: in a C locale,
    under cron, on a Windows code page.
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


def say(text: str) -> None:
    """Prints lines for people."""
    click.echo(visible(text, keep="\n"))


def note(text: str) -> None:
    """Says something to the person, beside the output."""
    click.echo(visible(text, keep="\n"), err=True)


def print_json(value: object) -> None:
    """Prints JSON: NaN and infinities as null, times in ISO 8601."""
    click.echo(json_text(value, sys.stdout, indent=2))


def json_text(value: object, stream: IO[str] | None, indent: int | None = None) -> str:
    """JSON with every text exact; what would drive a terminal, or cannot be encoded, as escapes."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    is_ascii = codecs.lookup(encoding).name != "utf-8"
    text = json.dumps(json_value(value), indent=indent, ensure_ascii=is_ascii, allow_nan=False)
    # The ends of lines are our own: those of texts are escapes already.
    return visible(text, keep="\n", escape=lambda character: json.dumps(character)[1:-1])


def run_facts(run: Run) -> dict[str, object]:
    """What `--json` says about a run."""
    meta = run.metadata
    return {
        "experiment": run.experiment,
        "run": run.name,
        "path": run.path,
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
        "rows_dropped": meta.rows_dropped,
        "rows_missing": meta.rows_missing,
    }
