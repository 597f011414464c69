"""`expman tail`: shows the last rows and messages of a run, and new ones as they come."""

from __future__ import annotations

import datetime
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TypeAlias

import click
import msgspec
from rich.text import Text

from expman.cli.output import console, format_json, print_note
from expman.cli.runs import base_dir_option, find_run, run_argument
from expman.models import VectorRow
from expman.reading.columns import no_such_column
from expman.reading.console import ConsoleLine
from expman.reading.follow import Follower, to_rows
from expman.reading.formats import format_number
from expman.reading.logfile import LogEntry
from expman.reading.rich_cells import cell
from expman.reading.run import Run
from expman.reading.runyaml import has_ended
from expman.reading.text import format_name, visible
from expman.storage.console_log import parse_console
from expman.storage.paths import CONSOLE_LOG, RUN_LOG, open_regular, storage_error
from expman.storage.runlog import parse_log

__all__ = ["command"]

POLL_S = 0.25
STORE_POLL_S = 5.0
"""The same for a run in a store, whose copy is renewed about once a minute."""
_Item: TypeAlias = VectorRow | LogEntry | ConsoleLine
_STYLES = {"WARN": "bold yellow", "ERROR": "bold red"}


@click.command("tail", short_help="Show the last rows and messages; -f follows the run.")
@run_argument()
@click.option("--follow", "-f", is_flag=True, help="Show new rows and messages until the run ends.")
@click.option(
    "--lines",
    "-n",
    default=10,
    show_default=True,
    type=click.IntRange(0),
    help="Number of rows and messages to begin with.",
)
@click.option("--metric", "-m", "metrics", multiple=True, help="Only this metric; repeatable.")
@click.option("--no-rows", is_flag=True, help="Only messages.")
@click.option("--no-log", is_flag=True, help="Only rows.")
@click.option("--console", "with_console", is_flag=True, help="Only what the program printed.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@base_dir_option
def command(
    run: str,
    follow: bool,
    lines: int,
    metrics: tuple[str, ...],
    no_rows: bool,
    no_log: bool,
    with_console: bool,
    as_json: bool,
    base_dir: str,
) -> None:
    """Shows the last rows and messages of RUN, in the order in which they were logged.

    With --console, the last lines that the program printed.
    """
    found = find_run(run, base_dir)
    rows, log = not (no_rows or with_console), not (no_log or with_console)
    _check_metrics(found, metrics)
    source = _Source(found, set(metrics), rows=rows, log=log, printed=with_console)
    ended = has_ended(found.path)
    for item in source.last(lines):
        _print(item, as_json)
    while follow:
        for item in source.take():
            _print(item, as_json)
        if ended:
            return
        time.sleep(STORE_POLL_S if "://" in found._place else POLL_S)
        ended = has_ended(found.path)


def _check_metrics(run: Run, metrics: tuple[str, ...]) -> None:
    """Checks that a run has these metrics; one that goes on may still log them, which is noted.

    Raises:
        click.UsageError: a run that has ended has none of a name.
    """
    known = run.metrics if metrics else []
    missing = [name for name in metrics if name not in known]
    if missing:
        rule = no_such_column(f"run {run._place} has no metric", missing, known).rule
        if not run.is_live:
            raise click.UsageError(rule)
        print_note(rule)


class _Source:
    """Reads what is new in a run since the last look, in order of time."""

    def __init__(
        self, run: Run, metrics: set[str], *, rows: bool, log: bool, printed: bool
    ) -> None:
        self._follower = Follower(run.path) if rows else None
        self._files = [_Lines(os.path.join(run.path, RUN_LOG), parse_log)] if log else []
        if printed:
            self._files.append(_Lines(os.path.join(run.path, CONSOLE_LOG), parse_console))
        self._metrics = metrics

    def last(self, count: int) -> list[_Item]:
        """Returns the last items."""
        items: list[_Item] = [*self._lines()]
        if self._follower is not None:
            items += self._chosen(to_rows(self._follower.skip(count)))
        items.sort(key=_order)
        return items[len(items) - count :] if count < len(items) else items

    def take(self) -> list[_Item]:
        """Returns what has come since the last look."""
        items: list[_Item] = [*self._rows(), *self._lines()]
        return sorted(items, key=_order)

    def _rows(self) -> Iterator[VectorRow]:
        for table in self._follower.poll() if self._follower is not None else ():
            yield from self._chosen(to_rows(table))

    def _chosen(self, rows: Iterator[VectorRow]) -> Iterator[VectorRow]:
        for row in rows:
            if not self._metrics:
                yield row
            elif self._metrics & row.values.keys():
                values = {key: row.values[key] for key in row.values if key in self._metrics}
                yield msgspec.structs.replace(row, values=values)

    def _lines(self) -> Iterator[LogEntry | ConsoleLine]:
        for file in self._files:
            yield from file.take()


class _Lines:
    """A file of lines that grows."""

    def __init__(
        self, path: str, parse: Callable[[str], Iterator[LogEntry] | Iterator[ConsoleLine]]
    ) -> None:
        self._path = path
        self._parse = parse
        self._offset = 0

    def take(self) -> Iterator[LogEntry | ConsoleLine]:
        """Returns what has come since the last look."""
        try:
            with os.fdopen(open_regular(self._path, follow=True), "rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        except OSError as exc:
            raise storage_error(self._path, exc) from exc
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        yield from self._parse(whole.decode(errors="replace"))


def _time_ns(item: _Item) -> int:
    if isinstance(item, VectorRow):
        return item.timestamp_ns
    return 0 if item.time is None else int(item.time.timestamp() * 1e9)


def _order(item: _Item) -> int:
    # These files have milliseconds: a line comes after the rows of its millisecond.
    return _time_ns(item) + (0 if isinstance(item, VectorRow) else 999_999)


def _print(item: _Item, as_json: bool) -> None:
    time_ns = _time_ns(item)
    moment = datetime.datetime.fromtimestamp(time_ns / 1e9, datetime.UTC)
    if as_json:
        fields: dict[str, object] = {"time": moment}
        if isinstance(item, VectorRow):
            fields |= {"step": item.step, "values": item.values}
            fields |= {"producer": item.producer, "seq": item.seq}
        elif isinstance(item, ConsoleLine):
            fields |= {"stream": item.stream, "producer": item.producer, "text": item.text}
        else:
            fields |= {"level": str(item.level), "message": item.message}
        click.echo(format_json(fields, sys.stdout))
        return
    clock = Text(f"{moment.astimezone():%H:%M:%S}", "dim")
    if isinstance(item, VectorRow):
        pairs = item.values.items()
        values = "  ".join(f"{format_name(name)}={format_number(value)}" for name, value in pairs)
        step = "" if item.step is None else f"{item.step:>6}  "
        who = "" if item.producer == "main" else f"[{item.producer}] "
        line = Text.assemble(clock, " ", cell(f"{who}{step}{values}"))
    elif isinstance(item, ConsoleLine):
        who = "" if item.producer == "main" else f"[{item.producer}] "
        style = "" if item.stream == "out" else "yellow"
        line = Text.assemble(clock, " ", who, Text(visible(item.text), style))
    else:
        level = Text(str(item.level), _STYLES.get(str(item.level), "bold"))
        message = visible(item.message, keep="\n")
        line = Text.assemble(clock, " ", level, " ", Text(message))
    console().print(line, soft_wrap=True)  # one line each, however long: for grep
