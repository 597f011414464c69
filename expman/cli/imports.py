"""`expman import`: makes runs from other trackers' files.

A run is made under a hidden name and renamed once it is whole. An import that fails or is killed
leaves nothing that is listed; repeating it replaces what it left.
"""

from __future__ import annotations

import os
import sys
from collections import Counter

import click

from expman.cli.output import print_line, print_note
from expman.cli.runs import base_dir_option
from expman.importers.formats import FINDERS, find
from expman.importers.homes import experiment_of, new_home
from expman.importers.importing import Imported, import_runs
from expman.importers.source import Source
from expman.reading.text import format_text
from expman.shown import count_of

__all__ = ["command"]

_SHOWN_NAMES = 5
_RUN_BYTES = 100_000
"""What it takes to make a run, as bytes to be read."""


@click.command("import", short_help="Make runs from other trackers' files.")
@click.argument("path", type=click.Path(exists=True))
@click.option(
    "--experiment",
    "-e",
    help="Experiment to import into; default: what the tracker calls it.",
)
@click.option(
    "--from",
    "tracker",
    type=click.Choice(sorted(FINDERS)),
    help="Format of the files; default: what is there.",
)
@base_dir_option
def command(path: str, experiment: str | None, tracker: str | None, base_dir: str) -> None:
    """Makes a run of each run that another tracker has left at or below PATH.

    Takes TensorBoard event files, wandb's local files, MLflow's stores, trackio's databases,
    neptune-exporter's Parquet files, CSV and JSONL. What has no place in a run is left out and
    counted, on standard error and in the run's import.json. Repeating an import brings the runs up
    to date.
    """
    sources = _found(path, tracker)
    homes: dict[str, list[Source]] = {}
    for source in sources:
        safe = experiment_of(source, experiment, base_dir)
        if safe is None:
            raise click.UsageError(
                f"{source.tracker} records no names of experiments; add --experiment NAME"
            )
        if not experiment and safe != source.experiment and safe not in homes:
            print_note(f"experiment {source.experiment!r} is called {safe!r} here")
        homes.setdefault(safe, []).append(source)
    failed = 0
    with _Bar(sources) as bar:
        for safe, members in homes.items():
            failed += _import_all(members, os.path.join(base_dir, safe), bar)
    if failed:
        raise click.ClickException(
            f"{failed} of {count_of(len(sources), 'run')} could not be imported"
        )


def _found(path: str, tracker: str | None) -> list[Source]:
    left_out: Counter[str] = Counter()
    found = find(path, left_out, tracker)
    for kind, count in sorted(left_out.items()):
        print_note(f"left out: {count} of kind {kind}")
    if len(found) > 1:
        counts = ", ".join(f"{len(sources)} of {name}" for name, sources in found.items())
        raise click.UsageError(f"found runs of several formats in {path}: {counts}; add --from")
    for sources in found.values():
        return sources
    names = ", ".join(sorted(FINDERS)) if tracker is None else tracker
    raise click.ClickException(f"found no runs in {path}; looked for {names}")


def _import_all(sources: list[Source], home: str, bar: _Bar) -> int:
    """Imports runs of one experiment; returns how many failed."""
    failed = 0
    with new_home(home, sources):
        for source, made in import_runs(sources, home, bar.advance):
            bar.clear()
            if isinstance(made, Exception):
                failed += 1
                print_note(f"not imported: {source.path}: {_reason(made)}")
            else:
                _show(made)
            bar.advance(_RUN_BYTES)
    return failed


def _reason(exc: Exception) -> str:
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror
    return " ".join(str(exc).split())


def _show(made: Imported) -> None:
    rows = f"{made.rows:,} rows"  # in every line the same word, also for 1: scripts read them
    if made.report is None:
        print_line(f"{made.run_dir}: {rows}, as before")
        return
    print_line(f"{made.run_dir}: {rows}")
    if made.kept_rows:
        print_note(f"kept {made.run_dir}: it has more rows than the source has now")
    for kind, count in sorted(made.report.left_out.items()):
        print_note(f"  left out: {count} of kind {kind}")
    renamed = list(made.report.renamed.items())
    for old, new in renamed[:_SHOWN_NAMES]:
        print_note(f"  renamed: {format_text(old, 80)} to {format_text(new, 80)}")
    more = len(renamed) - _SHOWN_NAMES + made.report.more_renamed
    if more > 0:
        print_note(f"  renamed: {more} more; import.json has them")


class _Bar:
    """Shows how far it is, on a terminal, if there is enough to wait for."""

    def __init__(self, sources: list[Source]) -> None:
        self._total = sum(source.size + _RUN_BYTES for source in sources)
        is_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._is_shown = is_terminal and self._total > 2_000_000
        self._bar = click.progressbar(length=self._total, label="reading", file=sys.stderr)
        self._waiting = 0

    def advance(self, count: int) -> None:
        """Notes bytes that were read."""
        self._waiting += count
        if self._is_shown and self._waiting > self._total // 500:
            self._bar.update(self._waiting)
            self._waiting = 0

    def clear(self) -> None:
        """Takes the bar away, for a line of the result."""
        if self._is_shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def __enter__(self) -> _Bar:
        if self._is_shown:
            self._bar.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._is_shown:
            self._bar.render_finish()
            self.clear()
