"""fsync fails once, by strace: no file is called durable before its bytes went to a new one.

What is lost without that shows `tests/unit/storage/test_fsync.py`, on a disk that forgets.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from process.faulty import Obeying, check_finished, check_more
from process.runs import wait_until, writer_of

MANY = 8
_CALL = re.compile(r"\bfsync\(\d+<([^>]*)>\) += (-1 EIO|0)")


@contextmanager
def failing_fsync(pid: int, number: int, log: Path) -> Iterator[None]:
    """The `number`th fsync from now on fails with EIO."""
    strace = subprocess.Popen(
        [
            *("strace", "-f", "-yy", "-s", "0", "-o", log, "-p", str(pid)),
            *("-e", "trace=fsync", "-e", f"inject=fsync:error=EIO:when={number}"),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert strace.stderr is not None
        assert "attached" in strace.stderr.readline()
        yield
    finally:
        strace.terminate()
        strace.communicate()


def fsyncs(log: Path) -> list[tuple[str, bool]]:
    """The files that were fsynced, and whether that went well."""
    return [(name, result == "0") for name, result in _CALL.findall(log.read_text())]


def written_again(log: Path, run_dir: Path) -> tuple[str, str | None] | None:
    """The file whose fsync failed, and the next one that was fsynced with its bytes, if it grows.

    None: that is to come yet.
    """
    calls = fsyncs(log)
    at = next(index for index, (_, well) in enumerate(calls) if not well)
    path = calls[at][0]
    if Path(path).suffix not in (".arrow", ".log") or not path.startswith(str(run_dir)):
        return path, None
    later = [other for other, _ in calls[at + 1 :] if Path(path).name in other]
    return (path, later[0]) if later else None


@pytest.mark.soak
@pytest.mark.strace
@pytest.mark.timeout(120)
def test_fsync_fails_once(program, run_base: Path, tmp_path: Path):
    """At each fsync of a flush in turn: files are written anew, and all is there in the end."""
    trainer = Obeying(program, run_base)
    run_dir = trainer.open()
    trainer("more 10")
    trainer("flush 30")
    writer = writer_of(trainer.process.pid)
    failed: set[str] = set()
    logged = [10]
    for number in range(1, MANY + 1):
        log = tmp_path / f"strace-{number}"

        def fails(log: Path = log) -> bool:
            logged.append(trainer("more 10")["logged"])
            trainer("flush 30")
            return any(not well for _, well in fsyncs(log))

        def heals(log: Path = log) -> tuple[str, str | None] | None:
            return written_again(log, run_dir) if fails() else None

        with failing_fsync(writer.pid, number, log):
            wait_until(fails, "an error")
            path, again = wait_until(heals, "new bytes")
        failed.add(re.sub(r"\d+|\.expman-tmp-[0-9a-f]{16}|artifacts/.*", "", Path(path).name))
        if again is not None:
            assert again.endswith(Path(path).name)
            assert path != again, "the same file, whose pages were dropped"
    trainer("close 30")
    check_finished(run_dir, logged[-1])
    check_more(run_dir, logged)
    assert len(failed) > 2, failed
