"""Finds the run that a text means: a path, a URL, `latest`, the beginning of a name."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable

from expman.checks import LATEST
from expman.errors import ConfigError
from expman.reading import find
from expman.reading.directories import experiments
from expman.reading.run import Run
from expman.suggestions import did_you_mean

__all__ = ["experiments_of", "named_run", "no_experiment", "url_parts"]

_SHOWN = 5


def experiments_of(base_dir: str) -> list[str]:
    """Returns the names of the experiments of a directory or of a copy in a store, sorted.

    Raises:
        ConfigError: the URL cannot be understood.
        StorageError: there is no base directory, or the store cannot be reached.
    """
    if "://" not in base_dir:
        return experiments(base_dir)
    from expman.reading.stored_base import StoredBase

    return StoredBase(base_dir).experiments()


def named_run(text: str, base_dir: str, list_runs: Callable[..., find.RunList] = find.runs) -> Run:
    """Finds the run that `text` means.

    Args:
        text: a URL, `latest`, or the beginning of a name; with `EXPERIMENT/` in front, in this
            experiment.
        base_dir: directory that holds all experiments, or the URL of a copy of it.
        list_runs: lists the runs of a base directory, or of one of its experiments.

    Raises:
        ConfigError: no run matches, or several do; the setting is "run".
        StorageError: there is no base directory, or the store cannot be reached.
    """
    if "://" in text:
        base_dir, text = url_parts(text)
    if "://" in base_dir and (run := _in_store(text, base_dir)) is not None:
        return run
    if text == LATEST:
        found = list_runs(base_dir)
        if not found:
            raise ConfigError("run", text, f"no runs in {base_dir}")
        return found[0]
    experiment, slash, beginning = text.rpartition("/")
    listed = list_runs(base_dir, experiment) if slash else list_runs(base_dir)
    if beginning == LATEST and listed:  # whatever is called so; that has its path
        return listed[0]
    # A run that cannot be read can be named, too; its command reports the error.
    lost = [Run(path) for path, _ in listed.unreadable if os.path.isdir(path)]
    every: list[Run] = [*listed, *lost]
    matches = [run for run in every if run.name == beginning]
    matches = matches or [run for run in every if run.name.startswith(beginning)]
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise ConfigError("run", text, _why_none(text, base_dir, every))
    several = ", ".join(f"{run.experiment}/{run.name}" for run in matches[:_SHOWN])
    more = f" and {len(matches) - _SHOWN} more" if len(matches) > _SHOWN else ""
    rule = f"{text!r} is not unique: {several}{more}; give more of the name"
    raise ConfigError("run", text, rule)


def _in_store(key: str, base_url: str) -> Run | None:
    """The run of this whole name: its own objects show whether it is there, and not a list."""
    from expman.reading.stored_base import StoredBase
    from expman.reading.stored_run import StoredRun

    parts = key.split("/")
    if len(parts) != 2 or parts[1] == LATEST or any(part in ("", ".", "..") for part in parts):
        return None
    return StoredRun.found(StoredBase(base_url), key)


def url_parts(url: str) -> tuple[str, str]:
    """Returns the URL of the base directory, and EXPERIMENT/RUN.

    Raises:
        ConfigError: it has no run.
    """
    where, mark, options = url.partition("?")
    scheme, _, rest = where.rstrip("/").partition("://")
    parts = rest.rsplit("/", 2)
    if len(parts) < 3 or not all(parts[1:]):
        raise ConfigError("run", url, f"{url} names no run: {scheme}://…/EXPERIMENT/RUN does")
    return f"{scheme}://{parts[0]}{mark}{options}", "/".join(parts[1:])


def _why_none(text: str, base_dir: str, every: list[Run]) -> str:
    experiment, slash, _ = text.rpartition("/")
    names = experiments_of(base_dir)
    if slash and experiment not in names:
        return f"cannot find {text!r}: {no_experiment(experiment, base_dir, names)}"
    if text in names:
        return (
            f"{text!r} is an experiment, and the command needs a run: {text}/latest is its "
            f"newest; list its runs with: expman ls {shlex.quote(text)}"
        )
    whole = text.removesuffix("…")
    known = [f"{run.experiment}/{run.name}" if slash else run.name for run in every]
    hint = did_you_mean([whole], [*known, *names]) or "; list runs with: expman ls"
    return f"no run in {base_dir} is called {text!r}{hint}"


def no_experiment(experiment: str, base_dir: str, known: list[str]) -> str:
    """Returns the message for an experiment that does not exist, with a suggestion."""
    hint = did_you_mean([experiment], known) or "; list them with: expman ls --experiments"
    return f"no experiment {experiment!r} in {base_dir}{hint}"
