"""Runs and filters with what they choose; the page's filters are tested with the same."""

from __future__ import annotations

import datetime
import math
from pathlib import Path

from unit.reading.run_files import make_run

from expman.errors import ConfigError
from expman.metadata import MetricBest
from expman.models import RunStatus

__all__ = ["CASES", "make_runs"]


def make_runs(home: Path) -> None:
    """Makes three runs that differ."""
    now = datetime.datetime.now(datetime.UTC).isoformat()
    make_run(
        home,
        "a",
        params={"lr": 0.1, "optimizer": "Adam", "model": {"layers": 2}, "odd name": 1, "amp": True},
        tags=["study:1", "arm:a"],
        group="g",
        vectors={"loss": 0.5, "phase": "test"},
        best={"loss": MetricBest(min=0.25, min_step=7, max=2.0, max_step=0, last=0.5, last_step=9)},
        scalars={"score": 3},
        duration_secs=90.0,
    )
    make_run(
        home,
        "b",
        status=RunStatus.FAILED,
        params={"lr": 0.001, "optimizer": "sgd", "version": "1.10"},
        tags=["study:2"],
        vectors={"loss": math.nan},
        started_at="2026-02-01T00:30:00.000000Z",
        duration_secs=7200.0,
    )
    make_run(home, "c", experiment="other", status=RunStatus.CRASHED, started_at=now, project="p")


CASES: list[tuple[str, str | type[Exception]]] = [
    ("lr < 0.01", "b"),
    ("lr<=0.1 and status=finished", "a"),
    ("status = Failed OR status = crashed", "bc"),
    ("status in (failed, crashed)", "bc"),
    ("status not in (failed, crashed)", "a"),
    ("params.lr = 1e-1", "a"),
    ("lr = null", "c"),
    ("lr != null", "ab"),
    ("lr != 0.1", "bc"),
    ("not lr = 0.1 and not (lr = null)", "b"),
    ("! lr = null && group = g || project = p", "ac"),
    ("optimizer ~ ADA", "a"),
    ("optimizer !~ ada", "bc"),
    ("optimizer = adam", ""),
    ("version = 1.10", "b"),
    ("version = 1.1", ""),
    ("amp = true", "a"),
    ("amp = 1", ""),
    ('"odd name" = 1', "a"),
    ("params.'odd name' = 1", "a"),
    ("model.layers >= 2", "a"),
    ("tag = study:1", "a"),
    ("tags ~ study", "ab"),
    ("tag != arm:a", "bc"),
    ("loss:min < 0.3", "a"),
    ("loss:min_step = 7", "a"),
    ("loss = 0.5", "a"),
    ("loss = nan", "b"),
    ("loss < inf", "a"),
    ("phase = test", "a"),
    ("score > 2", "a"),
    ("scalars.score = 3", "a"),
    ("started = 2026-01-31", "a"),
    ("started < 2026-02-01T00:00Z", "a"),
    ("started > 1h", "c"),
    ("started < 1h", "ab"),
    ("took >= 2h", "b"),
    ("duration_s = 90", "a"),
    ("took < 91s", "a"),
    ("experiment = other", "c"),
    ("name = a", "a"),
    ("group != g", "bc"),
    ("description = null", "abc"),
    ("a = 1 or lr = 0.1", ConfigError),
]
