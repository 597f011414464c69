"""Run: what its files say, at the moment of the call."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import pytest
from unit.reading.run_files import make_run

import expman
from expman.errors import StorageError
from expman.metadata import RunMetadata
from expman.models import LogLevel, Rank, RunStatus
from expman.storage.runlog import RunLog
from expman.storage.yamlfile import RunFile


def test_attributes(tmp_path: Path) -> None:
    """Names, status, times and values are those of the files."""
    run_dir = make_run(tmp_path, "r", params={"lr": 1e-5, "when": datetime.date(2026, 1, 1)})
    RunFile(str(run_dir)).write(
        RunMetadata(
            name="r",
            experiment="exp",
            status=RunStatus.FAILED,
            reason="why",
            started_at="2026-01-31T12:00:00.123456789Z",
            finished_at="2026-01-31T12:00:05.123456789Z",
            duration_secs=5.0,
            tags=["a"],
            scalars={"best": 1.5},
            vectors={"loss": 0.25, "n": 3},
        )
    )
    run = expman.Run(run_dir)

    assert ("r", "exp", "FAILED", "why") == (run.name, run.experiment, run.status, run.reason)
    assert (False, ["a"], None) == (run.is_live, run.tags, run.group)
    assert datetime.datetime(2026, 1, 31, 12, 0, 0, 123456, datetime.UTC) == run.started_at
    assert datetime.timedelta(seconds=5) == run.duration
    assert {"lr": 1e-5, "when": datetime.date(2026, 1, 1)} == run.config
    assert ({"best": 1.5}, {"loss": 0.25, "n": 3}) == (run.scalars, run.latest)


def test_a_replaced_run_yaml_is_noticed(tmp_path: Path) -> None:
    """A Run object follows its run: it has no memory of its own."""
    run = expman.Run(make_run(tmp_path, "r", status=RunStatus.RUNNING))
    assert run.is_live
    assert run.duration is not None

    make_run(tmp_path, "r", status=RunStatus.FINISHED)

    assert RunStatus.FINISHED == run.status


def test_a_run_yaml_that_is_just_being_rewritten_is_read_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tool that empties the file before it writes it anew never shows us an empty one."""
    run_yaml = make_run(tmp_path, "r", status=RunStatus.RUNNING) / "run.yaml"
    whole = run_yaml.read_bytes()
    run_yaml.write_bytes(b"")
    monkeypatch.setattr(
        "expman.reading.runyaml.time.sleep", lambda _seconds: run_yaml.write_bytes(whole)
    )

    assert RunStatus.RUNNING == expman.Run(run_yaml.parent).status


def test_a_run_yaml_left_empty_is_an_error_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file emptied long ago, by a full disk say, makes no list of runs wait."""
    run_yaml = make_run(tmp_path, "r") / "run.yaml"
    run_yaml.write_bytes(b"")
    os.utime(run_yaml, (1e9, 1e9))
    monkeypatch.setattr("expman.reading.runyaml.time.sleep", pytest.fail)

    with pytest.raises(StorageError, match=r"run\.yaml"):
        expman.Run(run_yaml.parent).status  # noqa: B018


def test_log(tmp_path: Path) -> None:
    """Messages come back as they were logged, several lines and all."""
    run_dir = make_run(tmp_path, "r")
    RunLog(str(run_dir)).append(
        [("INFO", 10**18, "one"), ("ERROR", 10**18 + 10**6, "two\n[x] [WARN] three\n")]
    )

    one, two = expman.Run(run_dir).log()

    assert (LogLevel.INFO, "one") == (one.level, one.message)
    assert (LogLevel.ERROR, "two\n[x] [WARN] three\n") == (two.level, two.message)
    assert datetime.timedelta(milliseconds=1) == two.time - one.time  # type: ignore[operator]


def test_artifacts(tmp_path: Path) -> None:
    """Saved files are listed with their folders, those on their way are not."""
    run_dir = make_run(tmp_path, "r")
    (run_dir / "artifacts" / "sub").mkdir(parents=True)
    for name in ("b", "sub/a", ".expman-tmp-1"):
        (run_dir / "artifacts" / name).touch()

    found = expman.Run(run_dir).artifacts()

    assert ["b", "sub/a"] == [str(Path(p).relative_to(run_dir / "artifacts")) for p in found]


def test_absent_and_new_runs(tmp_path: Path) -> None:
    """A directory that is not there raises; one without run.yaml says that it has just begun."""
    with pytest.raises(StorageError, match="no such directory"):
        expman.Run(tmp_path / "absent")
    (tmp_path / "new").mkdir()
    new = expman.Run(tmp_path / "new")
    assert (0, {}, []) == (new.vectors().num_rows, new.config, new.log())
    with pytest.raises(StorageError, match="just begun"):
        _ = new.status


def test_texts_that_look_like_numbers_stay_texts(tmp_path: Path) -> None:
    """What YAML 1.1 or 1.2 would take for something else is quoted, and read as it was."""
    texts = ["1e5", "1e-5", "0o17", "017", "12:30:00", "yes", "2026-01-01", "null", "=", "<<", ".5"]
    params: dict[str, object] = {f"k{n}": text for n, text in enumerate(texts)}
    run_dir = make_run(tmp_path, "r", params=params)

    assert params == expman.Run(run_dir).config
    assert "'1e5'" in (run_dir / "config.yaml").read_text()


@pytest.mark.parametrize("rank", [Rank(rank=3), Rank(rank=0, local_rank=0, world_size=2), None])
def test_a_rank_is_a_number_in_run_yaml(tmp_path: Path, rank: Rank | None) -> None:
    """run.yaml says the rank as expman-rs does, as a number, and it is read back whole."""
    file = RunFile(str(make_run(tmp_path, "r")))
    file.write(RunMetadata(name="r", experiment="exp", rank=rank))

    assert rank == file.read().rank
    assert f"\nrank: {'null' if rank is None else rank.rank}\n" in Path(file.path).read_text()
