"""`expman top`: all live runs, refreshed until q or Ctrl-C."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import math
import os
import select
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from expman.cli.output import console, print_json, print_note
from expman.cli.runs import base_dir_option, count_runs
from expman.errors import ExpmanError
from expman.models import RunStatus
from expman.reading import find
from expman.reading.columns_view import ColumnsView, taken
from expman.reading.formats import format_duration, format_number
from expman.reading.live_status import LiveStatus, RowPace, live_status
from expman.reading.peek import live_run_dirs
from expman.reading.run import Run
from expman.reading.text import format_name, visible
from expman.shown import count_of

__all__ = ["command"]

LOOK_S = 10.0
"""Seconds between two searches of the base directory for runs that have begun."""
_METRICS = 3
_AROUND = 4
"""Lines of the terminal that are no runs."""
_TITLES = ("run", "state", "running", "step", "rows", "rows/s", "last row", "cpu", "mem", "gpu")


@click.command("top", short_help="Show all live runs, refreshed.")
@click.option("--once", is_flag=True, help="Print one look and end.")
@click.option(
    "--every",
    "-n",
    "every_s",
    default=2.0,
    show_default=True,
    type=click.FloatRange(0.2),
    help="Seconds between two looks.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one look as JSON.")
@base_dir_option
def command(once: bool, every_s: float, as_json: bool, base_dir: str) -> None:
    """Shows the live runs of the base directory, and those of this user on this machine.

    The paths of runs in other base directories are listed below. Those that stand still come first.
    The pace is that of the newest 500 rows; processors, memory and GPUs are those of the newest
    sample of the machine, if it is sampled. q or Ctrl-C ends it. Without a terminal, one look is
    printed.
    """
    looks = _Looks(base_dir)
    if as_json:
        print_json([dataclasses.asdict(status) for status in looks.take()])
        if looks.problem:
            print_note(f"expman: {looks.problem}")
        return
    if once or not console().is_terminal:
        console().print(_view(looks, None))
        return
    with (
        contextlib.suppress(KeyboardInterrupt),
        _keys() as keys,
        Live(console=console(), screen=True, auto_refresh=False) as live,
    ):
        while True:
            live.update(_view(looks, console().size.height), refresh=True)
            if keys.quit_within(every_s):
                return


class _Looks:
    """Finds the live runs, and looks at each of them.

    Args:
        base_dir: directory that holds all experiments.

    Attributes:
        problem: why the base directory cannot be read; "" if it can.
    """

    def __init__(self, base_dir: str) -> None:
        self.problem = ""
        self._base_dir = base_dir
        self._known: dict[str, Run] = {}
        self._next_search = 0.0

    def take(self) -> list[LiveStatus]:
        """Returns one look at each live run, those that stand still first, then the newest."""
        if time.monotonic() >= self._next_search:
            self._search()
        for run_dir in live_run_dirs():
            path = os.path.realpath(run_dir)
            if path not in self._known:
                with contextlib.suppress(ExpmanError):
                    self._known[path] = Run(run_dir)
        found = []
        for path, run in list(self._known.items()):
            try:
                status = live_status(run)
            except ExpmanError:  # it was deleted, or is being made
                status = None
            if status is None:
                del self._known[path]
            else:
                found.append(status)
        found.sort(key=lambda one: (one.stalled_s is None, one.running_s or 0.0, one.name))
        return found

    def is_elsewhere(self, one: LiveStatus) -> bool:
        """Whether a run is not below the base directory, so that only its path names it."""
        home = os.path.join(os.path.realpath(self._base_dir), "")
        return not os.path.realpath(one.path).startswith(home)

    def _search(self) -> None:
        self._next_search = time.monotonic() + LOOK_S
        try:
            runs = find.runs(self._base_dir, status=RunStatus.RUNNING)
        except ExpmanError as exc:
            self.problem = str(exc)
            return
        self.problem = ""
        self._known |= {os.path.realpath(run.path): run for run in runs}


def _view(looks: _Looks, height: int | None) -> RenderableType:
    found = looks.take()
    now = datetime.datetime.now()
    load, processors = os.getloadavg()[0], os.cpu_count()
    machine = f"load {load:.1f} of {count_of(processors or 1, 'processor')}"
    head = f"{count_runs(len(found))} live, {now:%H:%M:%S}, {machine}"
    if height is not None:
        head += "; q ends"  # here no long line of a run can push it off the screen
    parts: list[RenderableType] = [Text(head, "bold")]
    if looks.problem:
        parts.append(Text(visible(looks.problem), "yellow"))
    elsewhere = {
        one.path: f"  {_name(one)}: {one.path}" for one in found if looks.is_elsewhere(one)
    }
    shown = found if height is None else _fitting(found, elsewhere, height - _AROUND)
    metrics = list(dict.fromkeys(name for one in found for name in one.latest))[:_METRICS]
    several = len({one.experiment for one in found}) > 1
    lines = [_line(_name(one) if several else one.name, one, metrics) for one in shown]
    if lines:
        titles = [*_TITLES, *(visible(format_name(name)) for name in metrics)]
        parts.append(_TopView(titles, lines))
    if len(found) > len(shown):
        parts.append(Text(f"… and {count_of(len(found) - len(shown), 'more run')}", "dim"))
    paths = [elsewhere[one.path] for one in shown if one.path in elsewhere]
    if paths:
        parts.append(Text("in other base directories", "italic"))
        parts += [Text(visible(line), overflow="fold") for line in paths]
    return Group(*parts)


def _fitting(
    found: Sequence[LiveStatus], elsewhere: Mapping[str, str], room: int
) -> Sequence[LiveStatus]:
    """The first runs that have room, with the lines of their paths; one at least."""
    room -= bool(elsewhere)
    for number, one in enumerate(found):
        room -= 1 + math.ceil(len(elsewhere.get(one.path, "")) / console().width)
        if room < 0:
            return found[: max(1, number)]
    return found


def _name(one: LiveStatus) -> str:
    return f"{one.experiment}/{one.name}"


class _TopView(ColumnsView):
    """Columns that are empty for all runs are left out, and then those that matter least."""

    _LEAST = (8, 2, 4)
    _LESS = (7, 9, 6, 5)

    def styles(self, line: Sequence[str]) -> dict[int, str]:
        return {1: "green" if line[1] == "ok" else "bold red"}

    def widths(self, room: int) -> dict[int, int] | None:
        widths = self.whole_widths()
        for place in list(widths):
            if all(line[place] in ("", "–") for line in self.lines):
                del widths[place]
        last = max(widths)
        for place in (*self._LEAST, *range(last, len(_TITLES) - 1, -1), *self._LESS):
            if taken(widths) > room:
                widths.pop(place, None)
        return widths if taken(widths) <= room else None


def _line(name: str, one: LiveStatus, metrics: Sequence[str]) -> list[str]:
    pace, machine = one.pace, one.machine
    return [
        visible(name),
        _state(one),
        _span(one.running_s),
        _progress(pace),
        f"{pace.rows:,}",
        "–" if pace.rows_per_s is None else f"{pace.rows_per_s:.3g}",
        "–" if pace.last_row_s is None else f"{_span(pace.last_row_s)} ago",
        _number(machine.cpu_pct, " %"),
        _number(machine.memory_gb, " GiB"),
        _number(machine.gpu_pct, " %"),
        *(format_number(one.latest.get(name), 24) for name in metrics),
    ]


def _state(one: LiveStatus) -> str:
    if one.stalled_s is not None:
        return f"stands still {_span(one.stalled_s)}"
    if one.silent_s is not None:
        return f"no sign of life {_span(one.silent_s)}"
    return "ok"


def _progress(one: RowPace) -> str:
    if one.step is None:
        return "–"
    if one.total is None or one.step > one.total:
        return f"{one.step:,}"
    return f"{one.step:,} of {one.total:,}, {100 * one.step / one.total:.0f} %"


def _span(seconds: float | None) -> str:
    return format_duration(None if seconds is None else datetime.timedelta(seconds=seconds))


def _number(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:.3g}{unit}"


class _Keys:
    """The keys of a terminal, read as they are pressed."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd

    def quit_within(self, timeout_s: float) -> bool:
        """Waits so long, at most until q is pressed; returns whether it was."""
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            if self._fd is None:
                time.sleep(left)
                return False
            if select.select([self._fd], [], [], left)[0]:
                pressed = os.read(self._fd, 64)
                if not pressed:  # the terminal is gone
                    return True
                if pressed.lower().startswith(b"q"):
                    return True
        return False


@contextlib.contextmanager
def _keys() -> Iterator[_Keys]:
    """Has the terminal give each key at once, without showing it; restores it afterwards."""
    if sys.stdin is None or not sys.stdin.isatty():
        yield _Keys(None)
        return
    import termios
    import tty

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield _Keys(fd)
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
