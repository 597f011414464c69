"""Filters of runs: what they choose, and where they point to a mistake."""

from __future__ import annotations

import datetime
import math
from pathlib import Path

import pytest
from unit.reading.run_files import make_run

import expman
from expman.errors import ConfigError
from expman.metadata import MetricBest
from expman.models import RunStatus
from expman.reading.filters import RunFilter


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs that differ."""
    home = tmp_path_factory.mktemp("filters")
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
    return home


@pytest.mark.parametrize(
    ("text", "expected"),
    [
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
    ],
)
def test_filters_choose(base: Path, text: str, expected: str | type[Exception]) -> None:
    """Comparisons are by number, time or text; a run without a value equals only null."""
    if not isinstance(expected, str):
        with pytest.raises(expected):
            expman.runs(base, where=text)
        return
    assert expected == "".join(sorted(run.name for run in expman.runs(base, where=text)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a comparison, such as lr < 0.01, at the end\n  \n  ^"),
        ("lr <", "expected a value, at the end\n  lr <\n      ^"),
        ("lr 1", "expected one of =, !=, <, <=, >, >=, ~, !~, in, not in, not '1'\n  lr 1\n     ^"),
        ("lr < 1 foo", "expected and, or, or the end of the filter, not 'foo'\n  lr < 1 foo\n  "),
        ("(lr < 1", "expected a closing parenthesis, at the end"),
        ("lr = 'x", "this quote ' has no end\n  lr = 'x\n       ^"),
        ("lr in 1", "expected a list in parentheses: lr in (0.1, 0.01), not '1'"),
        ("lr in (1 2)", "expected a comma or a closing parenthesis, not '2'"),
        ("status = finishd", "did you mean 'finished'?\n  status = finishd\n           ^^^^^^^"),
        ("started > soon", "expected a time"),
        ("took > soon", "expected seconds or a span of time"),
        ("lrr < 1", "scalar or metric 'lrr'; did you mean 'lr'?\n  lrr < 1\n  ^^^"),
        ("loss:mn < 1", "'loss:mn'; did you mean 'loss:min'?"),
        ("los:min < 1", "metric 'los'; did you mean 'loss:min'?"),
        ("loss:best < 1", "loss:min or loss:max"),
        ("x" * 200 + " < 'y", "\n  …" + "x" * 27),
        ("(" * 60, "more than 50 levels"),
        ("lr < 1 \x1b[2J", "\\x1b"),
    ],
)
def test_mistakes_are_pointed_to(base: Path, text: str, message: str) -> None:
    """The message has the place in the filter, and what was expected there."""
    with pytest.raises(ConfigError) as caught:
        expman.runs(base, where=text)
    if "x" * 100 in text or "\x1b" in text:
        assert "\x1b" not in caught.value.rule
        return
    assert message in caught.value.rule


def test_a_damaged_run_is_reported(tmp_path: Path) -> None:
    """A run whose parameters cannot be read is neither chosen nor forgotten."""
    make_run(tmp_path, "good", params={"lr": 1.0})
    bad = make_run(tmp_path, "bad", params={"lr": 1.0})
    (bad / "config.yaml").write_text("a: [")

    found = expman.runs(tmp_path, where="lr = 1")

    assert ["good"] == [run.name for run in found]
    assert [str(bad)] == [path for path, _ in found.unreadable]


def test_a_filter_of_one_run(base: Path) -> None:
    """A filter can be asked about any run."""
    run = expman.Run(base / "exp" / "a")
    assert RunFilter("lr = 0.1").matches(run)
    assert not RunFilter("lr > 0.1").matches(run)


def test_a_catalog_gives_the_same(base: Path, tmp_path: Path) -> None:
    """Runs that a catalog lists are chosen by the same values."""
    import shutil

    from expman.catalog import build

    shutil.copytree(base, tmp_path / "copy")
    texts = ["lr < 0.01", "loss:min < 0.3", "loss = nan", "tag = study:1", "score > 2"]
    texts += ["took >= 2h", "phase = test", "host = null"]
    before = [[run.name for run in expman.runs(tmp_path / "copy", where=text)] for text in texts]
    build(tmp_path / "copy")
    after = [[run.name for run in expman.runs(tmp_path / "copy", where=text)] for text in texts]
    assert before == after
