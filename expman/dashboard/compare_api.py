"""Answers with what differs between runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from expman.dashboard.context import Context, json_answer, refuse
from expman.dashboard.importance import importance_of
from expman.dashboard.json_text import plain
from expman.dashboard.run_record import run_id
from expman.errors import ExpmanError
from expman.metadata import MetricBest
from expman.models import safe_text
from expman.reading.differences import ABSENT, differ
from expman.reading.kinds import KINDS
from expman.reading.params import flat_params
from expman.reading.provenance import facts_of
from expman.reading.run import Run

__all__ = ["compare", "comparison"]

T = TypeVar("T")
MOST_RUNS = 500
LONGEST = 2000


def compare(context: Context, request: Request) -> Response:
    """Answers `api/compare`."""
    query = request.query_params
    names = [name for name in query.get("runs", "").split(",") if name] + query.getlist("run")
    if not names:
        refuse(400, "compare needs runs.")
    found = [context.catalog.look_at(safe_text(name)) for name in names[:MOST_RUNS]]
    return json_answer(comparison([path for path in found if path], query.get("metric")))


def comparison(run_dirs: Sequence[str], aim: str | None = None) -> dict[str, object]:
    """Returns what differs between runs, by name and by run.

    Args:
        run_dirs: their directories.
        aim: `METRIC:min`, `METRIC:max` or `METRIC:last`, of which the importance of parameters is
            wanted.
    """
    names = [safe_text(run_id(path)) for path in run_dirs]
    runs = [Run(path) for path in run_dirs]
    params = [_or_nothing(lambda run=run: flat_params(run.config)) for run in runs]  # type: ignore[misc]
    best = [_or_nothing(run.best_numbers) for run in runs]
    facts = [_or_nothing(lambda path=path: facts_of(path)) for path in run_dirs]  # type: ignore[misc]
    differing, same = _differing(names, params)
    origins, same_origins = _differing(names, facts)
    metrics: dict[str, dict[str, object]] = {}
    for name, numbers in zip(names, best, strict=True):
        for metric, number in numbers.items():
            row = metrics.setdefault(metric, {})
            row[name] = {kind: getattr(number, kind) for kind in KINDS}
    answer: dict[str, object] = {
        "params": differing,
        "metrics": metrics,
        "provenance": origins,
        "same_count": {"params": same, "provenance": same_origins},
    }
    if aim:
        metric, _, kind = aim.rpartition(":")
        values = [_number(numbers.get(metric), kind) for numbers in best]
        answer["metric"] = aim
        answer["importance"], answer["why_not"] = importance_of(params, values)
    found = plain(answer, LONGEST)
    assert isinstance(found, dict)
    return found


def _or_nothing(read: Callable[[], Mapping[str, T]]) -> Mapping[str, T]:
    try:
        return read()
    except (ExpmanError, OSError):
        return {}


def _differing(
    names: Sequence[str], values: Sequence[Mapping[str, object]]
) -> tuple[dict[str, dict[str, object]], int]:
    """Returns the rows that differ, by run, and how many do not."""
    found: dict[str, dict[str, object]] = {}
    keys = dict.fromkeys(key for one in values for key in one)
    for key in keys:
        row = [one.get(key, ABSENT) for one in values]
        if differ(row):
            pairs = zip(names, row, strict=True)
            found[key] = {name: value for name, value in pairs if value is not ABSENT}
    return found, len(keys) - len(found)


def _number(best: MetricBest | None, kind: str) -> float | None:
    value = getattr(best, kind, None) if kind in KINDS else None
    return None if value is None else float(value)
