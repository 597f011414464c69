"""The writer process: when it ends, what it leaves, and what it costs while nothing is logged."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
from process.runs import (
    DEADLINE_S,
    Writer,
    is_running,
    read_rows,
    run_yaml,
    segments_of,
    wait_for_end,
    wait_until,
    writer_of,
)

from expman.transport.segment import Address
from expman.writer import retry, server
from expman.writer.server import Server

END_DEADLINE_S = 120.0
IDLE_ROUNDS = 50
IDLE_CALLS = 300
"""The median of rounds without work was 128 in 2026-11; one that reads a file has thousands."""


def start(program, run_base: Path):  # type: ignore[no-untyped-def]
    """A trainer that has logged three rows, its run's directory, its writer."""
    trainer = program("log_and_wait.py", run_base)
    run_dir = Path(trainer.read_line())
    trainer.send_line("log 3")
    trainer.expect_line("logged")
    return trainer, run_dir, writer_of(trainer.pid)


def check_gone(writer: Writer) -> None:
    """The writer ends by itself and nothing is left in shared memory."""
    wait_until(lambda: not is_running(writer.pid), "the end of the writer", END_DEADLINE_S)
    assert [] == segments_of(writer)


def rows_in_files(run_dir: Path) -> int:
    """Rows of the Parquet file and the live tail."""
    rows = read_rows(run_dir).num_rows if (run_dir / "vectors.parquet").exists() else 0
    for path in run_dir.glob("vectors-*.arrow"):
        try:
            with pa.ipc.open_stream(path.read_bytes()) as stream:
                rows += sum(batch.num_rows for batch in stream)
        except (pa.ArrowInvalid, OSError):
            pass  # brought into the Parquet file just now, or not begun yet
    return rows


def test_writer_ends_after_close(program, run_base: Path) -> None:
    """close() ends the writer though the trainer goes on."""
    trainer, run_dir, writer = start(program, run_base)
    trainer.send_line("close")
    trainer.expect_line("closed")
    check_gone(writer)
    assert "FINISHED" == run_yaml(run_dir)["status"]
    assert trainer.running()
    trainer.close_stdin()
    trainer.succeed()


@pytest.mark.parametrize(
    ("word", "exit_status", "status", "reason"),
    [
        ("return", 0, "FINISHED", None),
        ("raise", 1, "FAILED", "ArithmeticError: the loss is not a number"),
        ("exit 3", 3, "FAILED", "sys.exit(3)"),
    ],
)
def test_writer_ends_with_the_program(
    program, run_base: Path, word: str, exit_status: int, status: str, reason: str | None
) -> None:
    """The program's end, an uncaught exception or an exit status ends the run and the writer."""
    trainer, run_dir, writer = start(program, run_base)
    trainer.send_line(word)
    assert exit_status == trainer.wait()
    check_gone(writer)
    run = run_yaml(run_dir)
    assert status == run["status"]
    assert (run["reason"] or "").startswith(reason or "")
    assert [0, 1, 2] == read_rows(run_dir)["n"].to_pylist()


@pytest.mark.parametrize("number", [9, 15])
def test_writer_ends_after_a_kill(program, run_base: Path, number: int) -> None:
    """The writer outlives a killed trainer just long enough to finish the run."""
    trainer, run_dir, writer = start(program, run_base)
    trainer.send_signal(number)
    assert -number == trainer.wait()
    assert "CRASHED" == wait_for_end(run_dir)["status"]
    check_gone(writer)
    assert [0, 1, 2] == read_rows(run_dir)["n"].to_pylist()


def test_rows_reach_a_file_soon(program, run_base: Path) -> None:
    """Rows that nobody flushes are in a file before long, the first ones and those that follow."""
    trainer, run_dir, _ = start(program, run_base)
    wait_until(lambda: rows_in_files(run_dir) == 3, "the first rows")
    trainer.send_line("log 1")
    trainer.expect_line("logged")
    wait_until(lambda: rows_in_files(run_dir) == 4, "one more row")


WITHOUT_WRITER = """\
import os, sys
os.environ["EXPMAN_PYTHON"] = "/bin/false"
from expman import ExperimentConfig, LoggingEngine
engine = LoggingEngine(ExperimentConfig("orphan", sys.argv[1]))
for n in range(3):
    engine.log_vector({"n": n}, n)
print(engine.address.partition("#")[0], engine.run_dir, flush=True)
sys.stdin.readline()
os._exit(1)
"""


def calls_of(function: Callable[[], object]) -> int:
    """How many functions a call calls in turn, those of C included."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return calls


class Quiet(Exception):
    """The writer has been idle long enough."""


def test_idle_writer_costs_little(program, run_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody logs: the writer looks 25 times a second, and each look is some hundred calls."""
    trainer = program(["-c", WITHOUT_WRITER], run_base)
    address, run_dir = trainer.read_line().split(" ", 1)
    writer = Server(Address.parse(address))
    pauses: list[float] = []

    def note(pause_s: float) -> None:
        pauses.append(pause_s)
        if pauses[-IDLE_ROUNDS:] == [server.IDLE_PAUSE_S] * IDLE_ROUNDS:
            raise Quiet
        time.sleep(0.001)

    with monkeypatch.context() as patch:
        patch.setattr(server, "time", SimpleNamespace(monotonic=time.monotonic, sleep=note))
        with pytest.raises(Quiet):
            writer.serve()
    costs = [calls_of(writer.step) for _ in range(IDLE_ROUNDS)]
    trainer.kill()
    assert writer.serve()
    assert "CRASHED" == run_yaml(Path(run_dir))["status"]
    assert statistics.median(costs) < IDLE_CALLS


def test_writer_gives_up_a_run_that_cannot_be_written(
    program, run_base: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Once nobody waits for it, a writer does not try for ever: its rows are left to recover."""
    trainer = program(["-c", WITHOUT_WRITER], run_base)
    address, run_dir = trainer.read_line().split(" ", 1)
    trainer.close_stdin()
    assert 1 == trainer.wait()
    away = run_base.with_name("away")
    run_base.rename(away)
    monkeypatch.setattr(retry, "ABANDON_S", 0.2)
    server = Server(Address.parse(address))

    def step_until_idle() -> bool:
        server.step()
        return server.idle

    server.step()
    assert not server.idle
    wait_until(step_until_idle, "the writer to give up", DEADLINE_S)
    assert server.remove_address()
    assert f"gave up {run_dir}" in capfd.readouterr().err
    away.rename(run_base)
    said = program(["-m", "expman.writer", "recover", str(run_base)]).succeed()
    assert f"recovered {run_dir}: CRASHED, 3 rows\n" == said
    assert [0, 1, 2] == read_rows(Path(run_dir))["n"].to_pylist()
