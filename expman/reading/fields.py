"""Names of the values of a run, as filters, columns and orders use them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from expman.errors import ConfigError, ExpmanError, StorageError
from expman.metadata import MetricBest, RunMetadata
from expman.reading.catalog_fields import PARAMS, SCALARS, SUFFIXES, CatalogFields
from expman.reading.catalog_values import cataloged_values
from expman.reading.commit import commit_of
from expman.reading.notes import read_notes
from expman.reading.params import flat_params
from expman.reading.quick_best import best_number
from expman.reading.run import Run
from expman.reading.summary import RunSummary
from expman.suggestions import did_you_mean

__all__ = [
    "DURATIONS",
    "FACTS",
    "PARAMS",
    "SCALARS",
    "SUFFIXES",
    "TIMES",
    "RunFields",
    "check_fields",
    "fact_of",
    "known_value",
    "known_values",
    "why_unknown",
]

TIMES = frozenset({"started_at", "finished_at"})
DURATIONS = frozenset({"duration_s"})
FACTS = (
    *("experiment", "run", "path", "status", "group", "started_at", "finished_at", "duration_s"),
    *("rows", "project", "description", "reason", "host", "rank", "attempt", "commit", "notes"),
    "tags",
)
_SHORT = {
    "name": "run",
    "started": "started_at",
    "finished": "finished_at",
    "took": "duration_s",
    "tag": "tags",
    "attempts": "attempt",
}
_SEARCHED = 20
"""Runs whose names are searched for a suggestion; reading all might take long."""


def fact_of(name: str) -> str | None:
    """Returns the fact that a name means, such as `started_at` for `started`; None if none."""
    return name if name in FACTS else _SHORT.get(name)


class RunFields:
    """The values of one run by their names; reads each file once, when a value needs it.

    Args:
        run: the run.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._summary: RunSummary | None = None
        self._params: dict[str, object] | None = None
        self._best: dict[str, MetricBest] = {}
        self._cataloged: CatalogFields | None = None
        if run._catalog is not None:
            self._cataloged = CatalogFields(run, run._catalog)

    def value(self, name: str) -> object:
        """Returns a value; None if the run has none.

        Args:
            name: a fact, such as `status`; `params.KEY`, dots for nested ones; `scalars.KEY`;
                `METRIC:min`, `METRIC:max` or `METRIC:last`, or with `_step` behind it the step
                of that number. Any other name is that of a parameter, else of a scalar, else of
                a metric, of which it is the last value.

        Raises:
            StorageError: a file cannot be read.
        """
        fact = fact_of(name)
        if self._cataloged is not None:
            try:
                return self._cataloged.value(fact, name)
            except LookupError:
                pass
        if fact is not None:
            return self._fact(fact)
        if name.startswith(PARAMS):
            return self._parameters().get(name.removeprefix(PARAMS))
        if name.startswith(SCALARS):
            return self._meta().scalars.get(name.removeprefix(SCALARS))
        metric, _, suffix = name.rpartition(":")
        if metric and suffix in SUFFIXES:
            return self._number(metric, suffix)
        return self._named(name)

    def names(self) -> Iterator[str]:
        """Yields the names of the parameters, scalars and metrics."""
        yield from self._parameters()
        yield from self._meta().scalars
        yield from self.metric_names()

    def params(self) -> Iterable[str]:
        """Returns the names of the parameters."""
        return self._parameters().keys()

    def metrics(self) -> Iterable[str]:
        """Returns the names of the metrics that have numbers."""
        return self._run.best_numbers().keys()

    def _fact(self, fact: str) -> object:
        find = _QUICK.get(fact)
        return find(self._run) if find is not None else _FROM_SUMMARY[fact](self._read())

    def _read(self) -> RunSummary:
        if self._summary is None:
            self._summary = self._run.summary()
        return self._summary

    def _meta(self) -> RunMetadata:
        return self._read().metadata

    def _parameters(self) -> Mapping[str, object]:
        if self._params is None:
            self._params = flat_params(self._run.config)
        return self._params

    def metric_names(self) -> Iterable[str]:
        """Returns the names of all metrics."""
        meta = self._meta()
        return meta.vectors if meta.vectors and not meta.vectors_left_out else self._run.metrics

    def _number(self, metric: str, suffix: str) -> object:
        yaml = self._run._read_yaml()
        if (number := best_number(yaml, metric, suffix)) is not None:
            return number
        stored = yaml.whole.get("best")
        if isinstance(stored, dict) and isinstance(found := stored.get(metric), dict):
            value = found.get(suffix)
            if isinstance(value, int | float):  # as it is in nearly all files; no need for more
                return value
        meta = self._meta()
        best = meta.best.get(metric)
        # Text has no numbers: the rows need not be searched for them.
        if best is None and (not meta.best or meta.best_left_out):
            if metric not in self._best:
                self._best |= self._run.best_numbers([metric])
            best = self._best.get(metric)
        return getattr(best, suffix, None)

    def _named(self, name: str) -> object:
        params = self._parameters()
        if name in params:
            return params[name]
        meta = self._meta()
        if name in meta.scalars:
            return meta.scalars[name]
        if name in meta.vectors:
            return meta.vectors[name]
        if not meta.vectors or meta.vectors_left_out:
            return self._number(name, "last")
        return None


def _rank_of(run: RunSummary) -> object:
    rank = run.metadata.rank
    return None if rank is None else rank.rank


def _seconds(run: RunSummary) -> float | None:
    took = run.duration
    return None if took is None else took.total_seconds()


_QUICK: dict[str, Callable[[Run], object]] = {
    "experiment": lambda run: run.experiment,
    "run": lambda run: run.name,
    "path": lambda run: run._place,
    "status": lambda run: str(run.status),
    "group": lambda run: run.group,
    "started_at": lambda run: run.started_at,
    "tags": lambda run: run.tags,
}
"""What needs no more than a look at some lines of run.yaml."""
_FROM_SUMMARY: dict[str, Callable[[RunSummary], object]] = {
    "finished_at": lambda run: run.finished_at,
    "duration_s": _seconds,
    "rows": lambda run: run.metadata.rows_written,
    "project": lambda run: run.metadata.project,
    "description": lambda run: run.metadata.description,
    "reason": lambda run: run.metadata.reason,
    "host": lambda run: run.metadata.host.hostname or None,
    "rank": _rank_of,
    "attempt": lambda run: run.metadata.attempt,
    "commit": lambda run: commit_of(run.path),
    "notes": lambda run: read_notes(run.path),
}


def check_fields(runs: Sequence[Run], names: Iterable[str], setting: str = "columns") -> None:
    """Checks that some run has a value of each name.

    Raises:
        ConfigError: no run has it; the message suggests a name that resembles it.
    """
    for name in names:
        if fact_of(name) is None and not any(_has(run, name) for run in runs):
            raise ConfigError(setting, name, why_unknown(runs, name))


def known_value(run: Run, column: str) -> object:
    """Returns a run's value in a column; None if it has none, or cannot be read."""
    return _known(RunFields(run), column)


def known_values(runs: Iterable[Run], columns: Sequence[str]) -> Iterator[list[object]]:
    """Yields the values of each run in several columns; None for what cannot be read."""
    every = list(runs)
    for run, values in zip(every, cataloged_values(every, columns, fact_of), strict=True):
        if values is None:
            fields = RunFields(run)
            values = [_known(fields, column) for column in columns]
        yield values


def _known(fields: RunFields, column: str) -> object:
    try:
        return fields.value(column)
    except StorageError:
        return None


def _has(run: Run, name: str) -> bool:
    return known_value(run, name) is not None


def why_unknown(runs: Sequence[Run], name: str) -> str:
    """Returns that no run has a value of this name, and which name may be meant."""
    searched = []
    for run in runs[:_SEARCHED]:
        fields = RunFields(run)
        try:
            searched.append((list(fields.params()), list(fields.names())))
        except ExpmanError:
            continue
    params = dict.fromkeys(PARAMS + key for keys, _ in searched for key in keys)
    every = dict.fromkeys(key for _, keys in searched for key in keys)
    metric, _, suffix = name.rpartition(":")
    if name.startswith(PARAMS):
        what = f"no run has the parameter {name.removeprefix(PARAMS)!r}"
        return what + did_you_mean([name], params)
    if metric and suffix in SUFFIXES:
        # The suffix, which all have, must not count as a resemblance.
        known = [f"{key}:{suffix}" for key in every if did_you_mean([metric], [key])]
        return f"no run has a number of the metric {metric!r}{did_you_mean([name], known)}"
    if metric and suffix == "best":
        return f"the best number is the least or the greatest: {metric}:min or {metric}:max"
    known = [*every, *FACTS, *_SHORT]
    if metric in every:
        known = [f"{metric}:{kind}" for kind in SUFFIXES]
    what = f"no run has a parameter, scalar or metric {name!r}"
    return what + did_you_mean([name], known)
