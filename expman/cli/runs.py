"""Which run is meant: a path, a unique beginning of a name, `latest` or `EXPERIMENT/latest`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from expman.reading import find
from expman.reading.run import Run
from expman.storage.paths import RUN_YAML, VECTORS_PARQUET, tail_number

__all__ = ["base_dir_option", "find_run", "run_argument"]

Command = TypeVar("Command", bound=Callable[..., Any])
_SHOWN = 5


def base_dir_option(function: Command) -> Command:
    """The option that says where runs are."""
    return click.option(
        "--base-dir",
        "-d",
        envvar="EXPMAN_BASE_DIR",
        default="experiments",
        show_default=True,
        type=click.Path(),
        help="Directory that holds all experiments.",
    )(function)


def run_argument(name: str = "run", *, nargs: int = 1) -> Callable[[Command], Command]:
    """The argument RUN, or several."""
    return click.argument(name, nargs=nargs, required=True, metavar="RUN" + "…" * (nargs != 1))


def find_run(text: str, base_dir: str) -> Run:
    """The run that `text` means.

    Raises:
        click.UsageError: it means none, or several.
    """
    if os.path.isdir(text) and _looks_like_run(text):
        through_link = os.pardir in text.split(os.sep)  # normpath would take link/.. for nothing
        return Run(os.path.realpath(text) if through_link else os.path.normpath(text))
    if text == "latest":
        found = find.runs(base_dir)
        if not found:
            raise click.UsageError(f"there is no run in {base_dir}")
        return found[0]
    experiment, slash, beginning = text.rpartition("/")
    listed = find.runs(base_dir, experiment if slash else None)
    # A run that cannot be read has a name, too, and its commands say what is wrong.
    lost = [Run(path) for path, _ in listed.unreadable if os.path.isdir(path)]
    every: list[Run] = [*listed, *lost]
    exact = [run for run in every if run.name == beginning]
    matches = exact or [run for run in every if run.name.startswith(beginning)]
    if len(matches) == 1:
        return matches[0]
    if beginning == "latest" and listed and not exact:
        return listed[0]
    if not matches:
        raise click.UsageError(f"no run in {base_dir} is called {text}…; see: expman ls")
    names = ", ".join(f"{run.experiment}/{run.name}" for run in matches[:_SHOWN])
    more = f" and {len(matches) - _SHOWN} more" if len(matches) > _SHOWN else ""
    raise click.UsageError(f"{text} is not unique: {names}{more}")


def _looks_like_run(path: str) -> bool:
    try:
        names = os.listdir(path)
    except OSError:
        return False
    return any(name in (RUN_YAML, VECTORS_PARQUET) or tail_number(name) for name in names)
