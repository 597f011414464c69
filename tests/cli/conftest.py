"""Runs that the command looks at, and a way to call it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import expman

pytest.importorskip("click")
pytest.importorskip("plotext")


class Result(NamedTuple):
    """What a call of the command gave."""

    code: int
    out: str
    err: str


Expman = Callable[..., Result]


def record(base_dir: Path, name: str, lr: float, rows: int = 40) -> expman.LoggingEngine:
    """An engine whose run has its rows."""
    config = expman.ExperimentConfig(
        "digits", base_dir, run_name=name, tags=("baseline",), description="a try"
    )
    engine = expman.LoggingEngine(config)
    engine.log_params({"lr": lr, "model": {"layers": [8, 8]}, "seed": 1})
    for step in range(rows):
        engine.log_vector({"train/loss": math.exp(-step * lr)}, step)
        if step % 10 == 9:
            engine.log_vector({"accuracy": step / rows, "phase": "test"}, step)
    engine.log_message("WARN", "the learning rate is low")
    engine.log_scalar("best", 0.5)
    return engine


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two runs that have ended, one that failed, and one that goes on."""
    home = tmp_path_factory.mktemp("cli")
    base = home / "experiments"
    (home / "model.bin").write_bytes(b"weights")
    with record(base, "aa-first", 0.1) as engine:
        engine.save_artifact(home / "model.bin")
        engine.flush()
    record(base, "ab-second", 0.2).close()
    record(base, "b-failed", 0.3, rows=1).close("FAILED", reason="[red]no[/red] luck")
    live = record(base, "c-live", 0.4)
    live.flush()
    yield base
    live.close()


@pytest.fixture
def expman_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Expman:
    """Calls the command in this process, in a directory of the test's own."""
    from expman.cli.commands import run

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EXPMAN_BASE_DIR", raising=False)
    monkeypatch.setenv("COLUMNS", "100")

    def call(*arguments: object, base_dir: Path | None = None) -> Result:
        if base_dir is not None:
            monkeypatch.setenv("EXPMAN_BASE_DIR", str(base_dir))
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call
