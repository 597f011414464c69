"""What process tests ask about runs, writers and shared memory, from the outside."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from leaks import processes

from expman.transport import layout

DEADLINE_S = 120.0
KEEPS_EXIT_STATUS = tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 15)
"""The kernel shows the exit status of a process also after its parent has taken it."""


class Writer(NamedTuple):
    """A writer process and the token of the address that it serves."""

    pid: int
    token: str


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = DEADLINE_S) -> Any:
    """Waits until the condition gives something true, and gives that."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.01)
    return found


def writers_of(trainer_pid: int) -> list[Writer]:
    """The writer processes that a running trainer has started."""
    return [
        Writer(process.pid, process.command.split("shm:")[1][:32])
        for process in processes()
        if process.parent_pid == trainer_pid and " serve --address shm:" in process.command
    ]


def writer_of(trainer_pid: int) -> Writer:
    """The one writer of a running trainer; it may have been started just now."""
    (writer,) = wait_until(lambda: writers_of(trainer_pid), f"a writer of {trainer_pid}")
    return writer


def serving(writer: Writer) -> int:
    """The process that serves the writer's address; see expman/transport/address_control.py."""
    words = memoryview(Path(f"/dev/shm/expman-{writer.token}").read_bytes()).cast("Q")
    return int(words[layout.WRITER_PID])


def writers_counted(writer: Writer) -> int:
    """How many writers have taken the owner's lane so far."""
    lanes = [name for name in segments_of(writer) if name.count("-") == 2]
    return max(
        int(memoryview(Path("/dev/shm", name).read_bytes()[:8192]).cast("Q")[layout.WRITERS])
        for name in lanes
    )


def kill_writers(token: str, writer_pid: int) -> None:
    """Kills the writer, and a successor that may have been started, until none is left."""
    pids = [writer_pid]
    while pids:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.05)
        pids = [process.pid for process in processes() if token in process.command]


def is_running(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    return any(pid == process.pid for process in processes())


def segments_of(writer: Writer) -> list[str]:
    """The shared memory under the writer's address."""
    return sorted(path.name for path in Path("/dev/shm").glob(f"expman-{writer.token}*"))


def run_dirs(base: Path) -> Iterator[Path]:
    """The runs below a base directory."""
    return (path.parent for path in sorted(base.glob("*/*/run.yaml")))


def only_run(base: Path) -> Path:
    """The run below a base directory that has just one."""
    (found,) = run_dirs(base)
    return found


def run_yaml(run_dir: Path) -> dict[str, Any]:
    found = yaml.safe_load((run_dir / "run.yaml").read_text())
    assert isinstance(found, dict)
    return found


def wait_for_end(run_dir: Path, timeout_s: float = DEADLINE_S) -> dict[str, Any]:
    """Waits until the run has a final status; gives its run.yaml."""

    def ended() -> dict[str, Any] | None:
        found = run_yaml(run_dir)
        return None if found["status"] == "RUNNING" else found

    return wait_until(ended, f"the end of {run_dir}", timeout_s)


def read_rows(run_dir: Path) -> pa.Table:
    return pq.read_table(run_dir / "vectors.parquet", partitioning=None)
