"""Finds the run that an argument means: a path, a beginning of a name, `latest`."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from expman.cli.output import print_note
from expman.errors import ConfigError, ExpmanError
from expman.reading import find
from expman.reading.directories import run_dirs
from expman.reading.named import experiments_of, named_run, no_experiment
from expman.reading.run import Run
from expman.shown import count_of
from expman.storage.paths import RUN_YAML, VECTORS_PARQUET, tail_number

__all__ = [
    "base_dir_option",
    "check_experiment",
    "chosen_runs",
    "count_runs",
    "find_run",
    "mistakes_of",
    "run_argument",
    "where_option",
    "why_no_runs",
]

Command = TypeVar("Command", bound=Callable[..., Any])


def base_dir_option(function: Command) -> Command:
    """Adds the option --base-dir."""
    return click.option(
        "--base-dir",
        "-d",
        envvar="EXPMAN_BASE_DIR",
        default="experiments",
        show_default=True,
        type=click.Path(),
        help="Directory that holds all experiments.",
    )(function)


def where_option(function: Command) -> Command:
    """Adds the option --where."""
    return click.option(
        "--where",
        metavar="FILTER",
        help="Only runs for which it holds: 'lr < 0.01 and status = finished'.",
    )(function)


@contextmanager
def mistakes_of(**options: str) -> Iterator[None]:
    """Calls a setting of the API by the option that the user gave.

    Raises:
        click.UsageError: for a ConfigError of one of these settings.
    """
    try:
        yield
    except ConfigError as exc:
        if exc.setting not in options:
            raise
        given = exc.value if isinstance(exc.value, str) else ", ".join(map(str, exc.value))  # type: ignore[call-overload]
        raise click.UsageError(f"{options[exc.setting]} {given}: {exc.rule}") from None


def run_argument(name: str = "run", *, nargs: int = 1) -> Callable[[Command], Command]:
    """Adds the argument RUN, or several."""
    return click.argument(name, nargs=nargs, required=True, metavar="RUN" + "…" * (nargs != 1))


def find_run(text: str, base_dir: str, list_runs: Callable[..., find.RunList] = find.runs) -> Run:
    """Finds the run that `text` means.

    Args:
        text: a path, a URL, `latest`, or the beginning of a name.
        base_dir: directory that holds all experiments.
        list_runs: lists the runs of a base directory, or of one of its experiments.

    Raises:
        click.UsageError: no run matches, or several do.
    """
    if "://" not in text and os.path.isdir(text) and _looks_like_run(text):
        through_link = os.pardir in text.split(os.sep)  # normpath would take link/.. for nothing
        return Run(os.path.realpath(text) if through_link else os.path.normpath(text))
    try:
        return named_run(text, base_dir, list_runs)
    except ConfigError as exc:
        if exc.setting != "run":
            raise
        raise click.UsageError(exc.rule) from None


def chosen_runs(texts: Sequence[str], where: str | None, base_dir: str) -> list[Run]:
    """Finds the runs that several arguments mean: runs, and experiments with all of their runs.

    Args:
        texts: the arguments; none for the runs of all experiments, if there is a filter.
        where: the filter that the runs of experiments must fulfil.
        base_dir: directory that holds all experiments.

    Raises:
        click.UsageError: an argument means no run, or the filter is not understood.
    """
    found: list[Run] = []
    if not texts and where is None:
        return found
    has_names = "://" in base_dir or os.path.isdir(base_dir)
    known = experiments_of(base_dir) if has_names else []
    list_runs = functools.cache(find.runs)  # of a hundred names, not a list for each
    for text in texts or (None,):
        if text is not None and text not in known:
            found.append(find_run(text, base_dir, list_runs))
            continue
        with mistakes_of(where="--where"):
            listed = find.runs(base_dir, text, where=where)
        for path, error in listed.unreadable:
            print_note(f"cannot read run {path}: {' '.join(str(error).split())}")
        found += filter(_is_readable, listed)
    return list({run._place: run for run in found}.values())


def _is_readable(run: Run) -> bool:
    """Whether a run of an experiment can be compared; one that cannot be is reported."""
    try:
        run.metadata  # noqa: B018 - raises what keeps it from being read
        run.config  # noqa: B018
    except ExpmanError as exc:
        print_note(f"cannot read run {run._place}: {' '.join(str(exc).split())}")
        return False
    return True


def check_experiment(experiment: str, base_dir: str) -> None:
    """Checks that there is such an experiment.

    Raises:
        click.UsageError: there is none; the message suggests one that resembles it.
    """
    known = experiments_of(base_dir)
    if experiment not in known:
        raise click.UsageError(no_experiment(experiment, base_dir, known))


def why_no_runs(experiment: str | None, base_dir: str, *, some_unreadable: bool) -> str:
    """Returns why a list of runs is empty."""
    where = base_dir if experiment is None else f"experiment {experiment!r} in {base_dir}"
    chosen = None if experiment is None else {experiment}
    if "://" not in base_dir and not any(run_dirs(base_dir, chosen)):
        return f"no runs in {where}"
    if some_unreadable:
        return f"no run in {where} matches these filters, or can be read"
    return f"no run in {where} matches these filters"


def count_runs(count: int) -> str:
    """Returns "1 run", "2 runs"."""
    return count_of(count, "run")


def _looks_like_run(path: str) -> bool:
    try:
        names = os.listdir(path)
    except OSError:
        return False
    return any(name in (RUN_YAML, VECTORS_PARQUET) or tail_number(name) for name in names)
