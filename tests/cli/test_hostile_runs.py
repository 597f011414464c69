"""Runs whose files are no files: no command and no reading function waits, or leaves the run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cli.conftest import Expman
from conftest import StartProgram
from hostile import KINDS, plant
from unit.reading.run_files import block, make_run

import expman
from expman.errors import ExpmanError
from expman.models import RunStatus

FILES = ("run.yaml", "config.yaml", "run.log", "vectors.parquet", "vectors-0001.arrow")


@pytest.fixture
def two_runs(run_base: Path) -> Path:
    """A good run and one that is to be spoilt."""
    for name in ("good", "bad"):
        run_dir = make_run(run_base, name, block(0, {"x": [1.0, 2.0]}), params={"lr": 0.1})
        (run_dir / "run.log").write_text("[2026-01-31T12:00:00.000Z] [INFO] hello\n")
    return run_base


def error_of(read: Callable[[], object]) -> str | None:
    """The message of the ExpmanError that it raises; None if it returns."""
    try:
        read()
    except ExpmanError as exc:
        return str(exc)
    return None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("file", FILES)
def test_no_command_waits(
    expman_command: Expman, two_runs: Path, tmp_path: Path, file: str, kind: str
) -> None:
    """Each command ends, with an error about that file or without it; the other run is whole."""
    spoilt = two_runs / "exp" / "bad" / file
    spoilt.unlink(missing_ok=True)
    plant(kind, spoilt, tmp_path / "aim")

    for command in (
        *(["ls"], ["ls", "--json"], ["ls", "-e"], ["clean", "-k", "0"], ["doctor", "--no-trial"]),
        *(["show", "exp/bad"], ["show", "--json", "exp/bad"], ["tail", "exp/bad"]),
        *(["plot", "exp/bad", "x"], ["export", "exp/bad", "-f", "csv"], ["notebook", "exp/bad"]),
        ["compare", "exp/good", "exp/bad"],
    ):
        result = expman_command(*command, base_dir=two_runs)
        assert result.code in (0, 1, 2), command  # 2: a METRIC that is not there
        if result.code:
            assert file in result.err or "exp/bad" in result.err, command
    assert "good" in expman_command("ls", base_dir=two_runs).out


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("file", FILES)
def test_no_reader_waits(two_runs: Path, tmp_path: Path, file: str, kind: str) -> None:
    """Each reading function returns or raises an ExpmanError; other runs are found."""
    run_dir = two_runs / "exp" / "bad"
    spoilt = run_dir / file
    spoilt.unlink(missing_ok=True)
    plant(kind, spoilt, tmp_path / "aim")

    found = expman.runs(two_runs)
    assert {"good", "bad"} == {run.name for run in found} | {
        os.path.basename(path) for path, _ in found.unreadable
    }
    assert 2 == len(expman.load_runs(two_runs))
    run = expman.Run(run_dir)
    for read in (
        *(run.log, run.vectors, run.to_pandas, run.peek, run.artifacts, run._repr_html_),
        *(lambda: run.config, lambda: run.status, lambda: run.metadata, lambda: run.metrics),
        *(lambda: expman.load_config(run_dir), lambda: expman.read_metrics(run_dir)),
        lambda: list(run.follow(timeout_s=0)),
    ):
        assert file in (error_of(read) or file)


def test_artifacts_are_files_of_the_run(two_runs: Path, tmp_path: Path) -> None:
    """A pipe among the artifacts is none, and a linked directory is not walked through."""
    run = expman.Run(two_runs / "exp" / "good")
    saved = two_runs / "exp" / "good" / "artifacts"
    saved.mkdir()
    (saved / "model").write_text("x")
    os.mkfifo(saved / "pipe")
    (saved / "root").symlink_to("/")
    assert [str(saved / "model")] == run.artifacts()

    linked = two_runs / "exp" / "bad" / "artifacts"
    linked.symlink_to("/")
    assert [] == expman.Run(two_runs / "exp" / "bad").artifacts()


def test_files_that_are_links_are_read(two_runs: Path, tmp_path: Path) -> None:
    """git-annex and DVC keep large files elsewhere, with a link in their place."""
    run_dir = two_runs / "exp" / "bad"
    for name in ("run.yaml", "config.yaml", "run.log", "vectors.parquet"):
        (run_dir / name).rename(tmp_path / name)
        (run_dir / name).symlink_to(tmp_path / name)

    run = expman.Run(run_dir)

    assert (RunStatus.FINISHED, {"lr": 0.1}, 1) == (run.status, run.config, len(run.log()))
    assert [1.0, 2.0] == run.vectors(["x"])["x"].to_pylist()


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_recovery_passes_by(
    program: StartProgram, two_runs: Path, tmp_path: Path, kind: str
) -> None:
    """`recover` ends, whatever has the name of a file of any run."""
    for file in FILES:
        run_dir = make_run(two_runs, file, block(0, {"x": [1.0]}), status=RunStatus.RUNNING)
        (run_dir / file).unlink(missing_ok=True)
        plant(kind, run_dir / file, tmp_path / "aim")

    recovered = program(["-m", "expman.writer", "recover", str(two_runs), "--any-host"])

    assert recovered.wait() in (0, 1)
    assert "Traceback" not in recovered.stderr
