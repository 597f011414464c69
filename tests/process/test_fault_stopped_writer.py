"""A writer that is stopped, dead or cannot start: calls keep their promises, nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from process.faulty import (
    TIMEOUT_S,
    Obeying,
    check_finished,
    check_more,
    check_values,
    read_raw,
)
from process.runs import Writer, wait_for_end, wait_until, writer_of, writers_of

BUFFER_BYTES = 1024 * 1024
ROWS = 60_000  # some three times what the buffer holds
FEW_WAITS = 10
"""The interpreter may wait for another thread of the trainer; a drop waits for nothing."""
MANY_WAITS = 10 * FEW_WAITS
"""A call that waits for room looks again after at most 5 ms."""


@contextmanager
def stopped(writer: Writer) -> Iterator[None]:
    os.kill(writer.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(writer.pid, signal.SIGCONT)


def lane_bytes(writer: Writer) -> int:
    """Memory of all terms under an address, as the kernel counts it."""
    return sum(
        path.stat().st_blocks * 512
        for path in Path("/dev/shm").glob(f"expman-{writer.token}-*-*")
        if path.exists()
    )


def waits_of(pid: int) -> int:
    """How often the main thread of a process has given up its processor (proc(5))."""
    status = Path(f"/proc/{pid}/task/{pid}/status").read_text()
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def start(program, base: Path, *settings: str) -> tuple[Obeying, Path, Writer]:
    trainer = Obeying(program, base, f"max_buffer_bytes={BUFFER_BYTES}", *settings)
    run_dir = trainer.open()
    trainer("log 10")
    trainer("flush 120")
    return trainer, run_dir, writer_of(trainer.process.pid)


def block(program, base: Path, waits: int) -> None:
    trainer, run_dir, writer = start(program, base)
    pid = trainer.process.pid

    def waits_in_bounds() -> bool:
        assert lane_bytes(writer) <= BUFFER_BYTES
        return waits_of(pid) - before >= waits

    with stopped(writer):
        trainer.send(f"log {ROWS}")
        wait_until(lambda: lane_bytes(writer) > BUFFER_BYTES / 2, "a buffer that is half full")
        before = waits_of(pid)
        wait_until(waits_in_bounds, "calls that wait for room")
    answer = trainer.answer()
    assert (None, ROWS + 10) == (answer["error"], answer["logged"])
    trainer("close 120")
    run = check_finished(run_dir, ROWS + 10)
    assert BUFFER_BYTES / 2 < run["buffer_high_water_bytes"] <= BUFFER_BYTES
    assert 0 == run["writer_restarts"]
    assert [] == answer["warnings"]


def drop(program, base: Path, calls: int) -> None:
    trainer, run_dir, writer = start(program, base, "overflow=drop")
    with stopped(writer):
        for _ in range(0, calls, ROWS):
            answer = trainer(f"log {ROWS}")
            assert answer["waits"] < FEW_WAITS
            assert lane_bytes(writer) <= BUFFER_BYTES
    trainer("log 10")
    total = answer["logged"] + 10
    answer = trainer("close 120")
    run = wait_for_end(run_dir)
    table = read_raw(run_dir)
    kept = table["_seq"].to_numpy()
    check_values(table, kept)
    assert np.all(np.diff(kept) > 0)
    assert np.array_equal(np.arange(10), kept[:10])
    dropped = total - len(kept)
    assert dropped > ROWS / 3
    assert (total, len(kept), dropped, 0) == tuple(
        run[key] for key in ("rows_logged", "rows_written", "rows_dropped", "rows_missing")
    )
    lines = [line for line in (run_dir / "run.log").read_text().splitlines() if "dropped" in line]
    told = [line.split()[2].replace(",", "") for line in lines if "WARN" in line]
    assert dropped == sum(map(int, told))
    (warning,) = answer["warnings"]
    assert f"{dropped:,} rows of {run_dir} were dropped" in warning


def test_block(program, run_base: Path):
    """`block`: calls wait for a stopped writer, within the memory allowed; nothing is lost."""
    block(program, run_base, MANY_WAITS)


def test_drop(program, run_base: Path):
    """`drop`: calls do not wait; `_seq` has gaps; run.yaml, run.log and a warning tell how many."""
    drop(program, run_base, 2 * ROWS)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("policy", "times"), [(block, 60 * MANY_WAITS), (drop, 500 * ROWS)])
def test_for_long(program, run_base: Path, policy, times: int):
    """The same for about half a minute."""
    policy(program, run_base, times)


@pytest.mark.parametrize("word", ["flush", "close"])
def test_hung_writer(program, run_base: Path, word: str):
    """flush() and close() return while the writer hangs; once it goes on, all is there."""
    trainer, run_dir, writer = start(program, run_base)
    with stopped(writer):
        trainer("log 10")
        answer = trainer.try_(f"{word} {TIMEOUT_S}")
        assert f"the writer did not finish within {TIMEOUT_S:g} s" in answer["error"]
        assert "expman-writer recover" in answer["error"]
    if word == "flush":
        trainer("close 120")
    check_finished(run_dir, 20)


def test_hung_writer_and_full_buffer(program, run_base: Path):
    """close() returns while the writer hangs, though its own record has to wait for memory."""
    trainer, run_dir, writer = start(program, run_base, "overflow=drop")
    with stopped(writer):
        trainer(f"log {ROWS}")
        for word in ("flush", "close"):
            answer = trainer.try_(f"{word} {TIMEOUT_S}")
            assert answer["error"].startswith("FlushError")
    trainer.process.close_stdin()  # at its end it tries again
    trainer.process.succeed()
    run = wait_for_end(run_dir)
    assert "FINISHED" == run["status"]
    assert ROWS + 10 == run["rows_written"] + run["rows_dropped"]
    check_values(table := read_raw(run_dir), table["_seq"].to_numpy())


@pytest.mark.parametrize("word", ["flush", "close"])
def test_dead_writer(program, run_base: Path, word: str):
    """They return though the writer is dead and no other can start."""
    trainer, run_dir, writer = start(program, run_base)
    trainer("python /nonexistent/python")
    os.kill(writer.pid, signal.SIGKILL)
    trainer("log 10")
    answer = trainer.try_(f"{word} {TIMEOUT_S}")
    assert answer["error"].startswith(f"FlushError: run {run_dir}")
    trainer(f"python {sys.executable}")
    check_finished_by_successor(trainer, run_dir, word)


def test_a_writer_that_can_start_again_is_started_at_once(program, run_base: Path):
    """After many tries in vain they are rare; close() does not wait for the next one.

    Here the next one would be tomorrow's.
    """
    trainer, run_dir, writer = start(program, run_base)
    trainer("pause 86400")
    trainer("python /nonexistent/python")
    os.kill(writer.pid, signal.SIGKILL)
    trainer("log 10")
    for _ in range(20):  # the first one knows nothing of the writer's end, the last of many tries
        error = trainer.try_("flush 1")["error"]
        assert error.startswith(f"FlushError: run {run_dir}")
        if "no writer can be kept running" in error:
            break
    else:
        pytest.fail(error)
    trainer(f"python {sys.executable}")
    trainer("close 120")
    check_finished(run_dir, 20)


def check_finished_by_successor(trainer: Obeying, run_dir: Path, word: str) -> None:
    if word == "flush":
        trainer("close 120")
    run = check_finished(run_dir, 20)
    assert 1 == run["writer_restarts"]


def recover(base: Path, env: dict[str, str]) -> str:
    command = [sys.executable, "-m", "expman.writer", "recover", str(base)]
    found = subprocess.run(command, env=env, capture_output=True, text=True, timeout=250)
    assert 0 == found.returncode, found.stderr
    return found.stdout


@pytest.mark.parametrize("way", ["executable", "import"])
def test_writer_cannot_start(program, program_env, run_base: Path, tmp_path: Path, way: str):
    """Rows wait, one warning has the writer's own words, and `recover` brings all into files."""
    env: dict[str, str] = {}
    if way == "import":
        (tmp_path / "shim" / "pyarrow").mkdir(parents=True)
        (tmp_path / "shim" / "pyarrow" / "__init__.py").write_text(
            'raise ImportError("libarrow.so is broken")'
        )
        env = {"PYTHONPATH": str(tmp_path / "shim")}
    if way == "executable":
        broken = tmp_path / "python"
        broken.write_text("#!/nonexistent/python\n")
        broken.chmod(0o700)
        env = {"EXPMAN_PYTHON": str(broken)}
    words = {"executable": f"No such file or directory: '{tmp_path}/python'"}
    words["import"] = "libarrow.so is broken"
    trainer = Obeying(program, run_base, env=env)
    run_dir = trainer.open()
    trainer("more 1000")
    (warning,) = wait_until(lambda: trainer("state")["warnings"], "a warning")
    assert words[way] in warning
    trainer("log 1000")
    answer = trainer.try_("close 86400")  # it does not wait for what will not come
    for word in ("FlushError", words[way], "shared memory", f"`expman-writer recover {run_base}`"):
        assert word in answer["error"]
    trainer.process.close_stdin()
    trainer.process.succeed()
    assert [] == writers_of(trainer.process.pid)
    assert f"recovered {run_dir}: FINISHED, 2,000 rows" in recover(run_base, program_env)
    check_finished(run_dir, 2000)
    check_more(run_dir, [1000])
