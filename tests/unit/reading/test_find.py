"""expman.runs: order, filters, and what cannot be read."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from unit.reading.run_files import block, make_run

import expman
from expman.errors import ConfigError, StorageError
from expman.models import RunStatus
from expman.reading.find import parse_since


def names(runs: expman.RunList) -> list[str]:
    return [run.name for run in runs]


@pytest.fixture
def store(run_base: Path) -> Path:
    """Three runs of two experiments."""
    make_run(run_base, "old", started_at="2026-01-01T00:00:00Z", tags=["arm:a", "study:1"])
    make_run(
        run_base,
        "mid",
        block(0, {"x": [1.0]}),
        started_at="2026-01-02T00:00:00.5Z",
        status=RunStatus.RUNNING,
        tags=["arm:b", "no", "12:30"],
    )
    make_run(
        run_base,
        "new",
        experiment="other",
        started_at="2026-01-02T00:00:00.500001Z",
        status=RunStatus.CRASHED,
    )
    return run_base


def test_newest_first(store: Path) -> None:
    """Runs of all experiments are in the order of their beginning, newest first."""
    assert ["new", "mid", "old"] == names(expman.runs(store))
    assert ["new", "mid", "old"] == names(expman.runs(str(store)))


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"experiment": "exp"}, ["mid", "old"]),
        ({"experiment": ["exp", "other"]}, ["new", "mid", "old"]),
        ({"experiment": "absent"}, []),
        ({"status": "running"}, ["mid"]),
        ({"status": [RunStatus.FINISHED, "CRASHED"]}, ["new", "old"]),
        ({"tags": "arm:a OR arm:b"}, ["mid", "old"]),
        ({"tags": ["arm:b", "no", "12:30"]}, ["mid"]),
        ({"since": "2026-01-02T00:00:00+00:00"}, ["new", "mid"]),
        ({"since": datetime.datetime(2026, 1, 2, 0, 0, 0, 500001, datetime.UTC)}, ["new"]),
        ({"group": "g"}, []),
    ],
)
def test_filters(store: Path, filters: dict[str, object], expected: list[str]) -> None:
    """Each filter chooses the runs that it names; tags that YAML 1.1 misreads are texts."""
    assert expected == names(expman.runs(store, **filters))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "filters", [{"status": "DONE"}, {"since": "yesterday"}, {"tags": "NOT a"}], ids=str
)
def test_filters_that_mean_nothing_are_refused(store: Path, filters: dict[str, str]) -> None:
    """A filter that cannot be understood raises ConfigError naming it."""
    with pytest.raises(ConfigError, match=next(iter(filters))):
        expman.runs(store, **filters)  # type: ignore[arg-type]


def test_ages() -> None:
    """An age counts back from now."""
    week = datetime.timedelta(days=7)
    before = datetime.datetime.now(datetime.UTC) - week

    assert before <= parse_since("7d") <= datetime.datetime.now(datetime.UTC) - week
    assert parse_since("90 m") > parse_since(datetime.timedelta(hours=2))


def test_unreadable_runs_are_reported(store: Path) -> None:
    """A damaged run.yaml, and one that is absent, keep no other run from being listed."""
    (store / "exp" / "old" / "run.yaml").write_text("status: [")
    (store / "exp" / "mid" / "run.yaml").unlink()
    (store / "exp" / "plots").mkdir()
    (store / "notes.txt").touch()

    found = expman.runs(store)

    assert ["new"] == names(found)
    assert {"mid", "old"} == {Path(path).name for path, _ in found.unreadable}
    assert all(isinstance(error, StorageError) for _, error in found.unreadable)


def test_no_base_directory(tmp_path: Path) -> None:
    """A base directory that is not there is an error and not an empty list."""
    with pytest.raises(StorageError, match="no such directory; set base_dir"):
        expman.runs(tmp_path / "absent")


def test_slices_stay_run_lists(store: Path) -> None:
    """A part of a list of runs is shown like the whole."""
    assert isinstance(expman.runs(store)[:2], expman.RunList)


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.soak)])
def test_many_runs(run_base: Path, count: int) -> None:
    """Runs are listed by scanning, not by parsing each file."""
    text = Path(make_run(run_base, "model", tags=["x"]), "run.yaml").read_text()
    for number in range(count):
        run_dir = run_base / f"e{number % 10}" / f"r{number}"
        run_dir.mkdir(parents=True)
        (run_dir / "run.yaml").write_text(text)

    found = expman.runs(run_base, tags="x")

    assert count + 1 == len(found)
    assert all(run._yaml is not None and run._yaml._whole is None for run in found)


def test_the_text_of_a_list(run_base: Path) -> None:
    """print(expman.runs()) has a line for each of the first runs, and counts the others."""
    for number in range(22):
        make_run(run_base, f"r{number:02}", rows_written=1200 + number)
    (run_base / "exp" / "r00" / "run.yaml").write_text("status: DONE\n")

    lines = repr(expman.runs(run_base)).splitlines()

    assert ["RunList([", "  exp/r21: FINISHED, 1,221 rows"] == lines[:2]
    assert ["  … and 1 more", "  1 cannot be read, see .unreadable", "])"] == lines[-3:]
    assert "RunList([])" == repr(expman.runs(run_base, "other"))


def test_a_status_that_is_not_known(store: Path) -> None:
    """The error lists those that there are, once."""
    known = "one of RUNNING, FINISHED, FAILED, CRASHED"
    with pytest.raises(ConfigError, match=f"^status='done': must be {known}$"):
        expman.runs(store, status="done")
    with pytest.raises(ConfigError, match=rf"^status=\['done'\]: each must be {known}$"):
        expman.runs(store, status=["done"])
