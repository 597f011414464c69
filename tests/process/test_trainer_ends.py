"""However a trainer ends, its rows are all there, and the run says the truth about the end.

SIGKILL at random moments is in test_kill_trainer.py.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from process.ledger import Ledger
from process.runs import is_running, segments_of, wait_for_end, wait_until, writer_of

END_DEADLINE_S = 120.0
"""Of a writer; it takes well under 2 s, but on a busy machine."""
CGROUPS = Path("/sys/fs/cgroup")
GONE = "ended without closing the run"
ENDS = [
    ("return", 0, "FINISHED", None),
    ("SIGKILL", -signal.SIGKILL, "CRASHED", GONE),
    ("SIGSEGV", -signal.SIGSEGV, "CRASHED", GONE),
    ("SIGTERM", -signal.SIGTERM, "CRASHED", GONE),
    ("os_exit", 3, "CRASHED", GONE),
    ("raise", 1, "FAILED", "ArithmeticError: the loss is not a number (at log_for_ledger.py:"),
    ("exit", 3, "FAILED", "sys.exit(3)"),
    ("SIGINT", -signal.SIGINT, "FAILED", "KeyboardInterrupt"),
    ("memory", 1, "FAILED", "MemoryError"),
]


@pytest.mark.parametrize(("end", "exit_status", "status", "reason"), ENDS)
def test_trainer_ends(
    program,
    tmp_path: Path,
    run_base: Path,
    end: str,
    exit_status: int,
    status: str,
    reason: str | None,
) -> None:
    """All rows, a true status and reason; the writer ends soon, and nothing stays in memory."""
    ledger = Ledger(tmp_path / "ledger")
    trainer = program("log_for_ledger.py", ledger.options(run_base, rows=6000, end=end))
    run_dir = Path(trainer.read_line())
    writer = writer_of(trainer.pid)
    assert exit_status == trainer.wait(), trainer.stderr
    wait_until(lambda: not is_running(writer.pid), "the end of the writer", END_DEADLINE_S)
    run = ledger.check(run_dir, status)
    assert 6000 == ledger.rows == run["rows_written"]
    assert (reason or "") in (run["reason"] or "")
    assert (reason is None) == (run["reason"] is None)
    assert 0 == run["writer_restarts"]
    assert [] == segments_of(writer)


def test_parent_that_is_the_writer_knows_more(program, tmp_path: Path, run_base: Path) -> None:
    """Under `expman-writer run` the reason names the signal, and the command's status is kept."""
    ledger = Ledger(tmp_path / "ledger")
    trainer = Path(__file__).parents[1] / "programs" / "log_for_ledger.py"
    options = ledger.options(run_base, rows=2000, end="SIGSEGV")
    writer = program(["-m", "expman.writer", "run", "--", sys.executable, str(trainer), options])
    assert 128 + signal.SIGSEGV == writer.wait(), writer.stderr
    run = ledger.check(run_base / "faults" / "run", "CRASHED")
    assert run["reason"].endswith("killed by SIGSEGV")


def own_memory_cgroup() -> tuple[Path | None, dict[str, str]]:
    """Where a cgroup with a limit of its own can be made, and what limits it to 300 MB."""
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    for _, controllers, path in lines:
        if "memory" in controllers.split(","):
            return CGROUPS / "memory" / path.strip("/"), {"memory.limit_in_bytes": "300M"}
    for number, _, path in lines:
        parent = CGROUPS / path.strip("/")
        controllers_file = parent / "cgroup.subtree_control"
        if number != "0" or not controllers_file.exists():
            continue
        if "memory" in controllers_file.read_text().split():
            return parent, {"memory.max": "300M", "memory.swap.max": "0"}
    return None, {}


@pytest.fixture
def small_cgroup() -> Iterator[Path]:
    """A cgroup of version 1 or 2 that allows 300 MB; skips where none can be made."""
    parent, limits = own_memory_cgroup()
    if parent is None:
        pytest.skip("no cgroup with a memory controller can be made here")
    group = parent / f"expman-test-{os.getpid()}"
    group.mkdir()
    for name, value in limits.items():
        (group / name).write_text(value)
    yield group
    wait_until(lambda: not (group / "cgroup.procs").read_text(), "the end of its processes")
    group.rmdir()


@pytest.mark.root
def test_out_of_memory_in_a_cgroup(
    program, tmp_path: Path, run_base: Path, small_cgroup: Path
) -> None:
    """The kernel's OOM killer is named as the reason."""
    ledger = Ledger(tmp_path / "ledger")
    shell = 'echo $$ > "$1/cgroup.procs"; exec "$2" "$3" "$4"'
    trainer = program(
        ["-c", "import os, sys; os.execvp('sh', sys.argv[1:])", "sh", "-c", shell, "sh"],
        small_cgroup,
        sys.executable,
        Path(__file__).parents[1] / "programs" / "log_for_ledger.py",
        ledger.options(run_base, rows=2000, end="eat"),
    )
    run_dir = Path(trainer.read_line())
    assert -signal.SIGKILL == trainer.wait(), trainer.stderr
    wait_for_end(run_dir)
    assert "OOM" in ledger.check(run_dir, "CRASHED")["reason"]
