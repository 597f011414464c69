"""Whose fault it was: a forked child writes its stacks into the file of its parent."""

from __future__ import annotations

import pytest

from expman.metadata import RunMetadata
from expman.models import PROCESS_ENDED, Host, LogLevel, RunStatus
from expman.storage.evidence import Evidence
from expman.storage.faults import describe_faults
from expman.storage.runlog import LogEntry

OWNER = 100
TEXT = (
    "Fatal Python error: Segmentation fault\n\n"
    'Thread 0x01 (most recent call first):\n  File "other.py", line 1 in wait\n\n'
    "Current thread 0x02 (most recent call first):\n"
    '  File "/usr/lib/python3.11/ctypes/__init__.py", line 519 in string_at\n'
    '  File "train.py", line 12 in forward\n\n'
    "Extension modules: numpy"
)
PLACE = (
    'File "/usr/lib/python3.11/ctypes/__init__.py", line 519 in string_at, '
    'called from File "train.py", line 12 in forward'
)


def ended(who: str, pid: int, how: str) -> LogEntry:
    text = f"{PROCESS_ENDED}{who} (pid {pid} on n3) was killed by {how}; it had logged 5 rows"
    return LogEntry(None, LogLevel.ERROR, text)


def whose(status: RunStatus, reason: str | None, pid: int, *entries: LogEntry) -> str:
    meta = RunMetadata(name="r", experiment="e", status=status, reason=reason, host=Host(pid=OWNER))
    seen = Evidence(entries=list(entries), faults=[(pid, TEXT)])
    (fact,) = describe_faults(meta, seen)
    who, _, rest = fact.text.partition(" died of a fault: ")
    assert f"Segmentation fault, {PLACE}" == rest
    return who


CLOSED = "the owner process (pid 100) ended without closing the run"


@pytest.mark.parametrize(
    ("reason", "who"),
    [
        (f"{CLOSED}: killed by SIGSEGV", "pid 100"),
        (f"{CLOSED}: killed by SIGKILL", "a process that pid 100 had forked"),
        (CLOSED, "pid 100, or a process that it had forked,"),
    ],
)
def test_the_owner(reason: str, who: str) -> None:
    """It is the owner's only if its end is known to be that."""
    assert who == whose(RunStatus.CRASHED, reason, OWNER)


def test_a_forked_worker() -> None:
    """One that is known to have died of that signal has written it."""
    worker = ended("worker-1", 101, "SIGSEGV")
    assert "worker-1 (pid 101 on n3)" == whose(RunStatus.FINISHED, None, OWNER, worker)
    both = (worker, ended("worker-2", 102, "SIGSEGV"))
    several = whose(RunStatus.FINISHED, None, OWNER, *both)
    assert "a process that pid 100 had forked" == several
    other = ended("worker-1", 101, "SIGKILL")
    assert several == whose(RunStatus.FINISHED, None, OWNER, other)


def test_an_attached_worker() -> None:
    """It has a file of its own."""
    rank = ended("rank-2", 200, "SIGSEGV")
    assert "rank-2 (pid 200 on n3)" == whose(RunStatus.FINISHED, None, 200, rank)
    assert "pid 200, or a process that it had forked," == whose(RunStatus.FINISHED, None, 200)
