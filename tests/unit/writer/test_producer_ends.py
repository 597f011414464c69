"""What is said about a process that is gone: what is known, and nothing that may be wrong."""

from __future__ import annotations

import os
import signal

import pytest

from expman.writer.process_end import ProcessEnd
from expman.writer.producer_ends import describe_end

SIGKILL, SIGTERM, SIGSEGV = -signal.SIGKILL, -signal.SIGTERM, -signal.SIGSEGV


@pytest.mark.parametrize(
    ("status", "kills", "is_rank", "text"),
    [
        (0, 0, False, None),
        (0, 3, True, None),
        (SIGTERM, 0, False, None),
        (-signal.SIGINT, 0, False, None),
        (SIGTERM, 0, True, "was killed by SIGTERM"),
        (SIGSEGV, 2, False, "was killed by SIGSEGV"),
        (3, 1, False, "ended with exit status 3"),
        (SIGKILL, 0, False, "was killed by SIGKILL"),
        (
            SIGKILL,
            1,
            False,
            "was killed by SIGKILL; the kernel killed a process of its cgroup meanwhile: "
            "out of memory",
        ),
    ],
)
def test_what_is_said(status: int, kills: int, *, is_rank: bool, text: str | None) -> None:
    """Ends that are usual are nothing to report; lack of memory explains a SIGKILL only."""
    assert text == describe_end(status, kills, is_rank=is_rank)


def test_an_unknown_end() -> None:
    """It says that it is not known, and what the kernel has counted."""
    plain, counted = (describe_end(None, kills, is_rank=False) for kills in (0, 2))
    assert plain is not None
    assert "its exit status is not known" in plain
    assert f"{plain}; the kernel killed 2 processes of its cgroup meanwhile: out of memory" == (
        counted
    )


class Lane:
    """A lane that a process has claimed, until it is gone."""

    def __init__(self, pid: int) -> None:
        self.pid: int | None = pid

    def producer_pid(self) -> int | None:
        return self.pid


def test_a_zombie_shows_its_exit_status() -> None:
    """As long as its parent has not asked for it, on any kernel."""
    reads, writes = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(writes)
        os.read(reads, 1)
        os._exit(7)
    os.close(reads)
    end = ProcessEnd(Lane(pid))  # type: ignore[arg-type]
    assert end.runs_on
    assert end.status() is None
    os.close(writes)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert 7 == end.status()
    assert not end.runs_on
    os.waitpid(pid, 0)
    assert end.status() in (7, None)  # kept since Linux 6.15
    end.close()
    assert end.status() is None


def test_a_process_that_is_another_one_by_now() -> None:
    """Its id changed hands between two looks: nothing is watched."""

    class Gone(Lane):
        def producer_pid(self) -> int | None:
            pid, self.pid = self.pid, None
            return pid

    end = ProcessEnd(Gone(os.getpid()))  # type: ignore[arg-type]
    assert not end.runs_on
    assert end.status() is None
