"""Filters of runs: what they choose, and where they point to a mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
from unit.reading.filter_cases import CASES, make_runs
from unit.reading.run_files import make_run

import expman
from expman.errors import ConfigError
from expman.reading.filters import RunFilter


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs that differ."""
    home = tmp_path_factory.mktemp("filters")
    make_runs(home)
    return home


@pytest.mark.parametrize(
    ("text", "expected"),
    CASES,
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
