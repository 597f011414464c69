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
MOST = 24
WANTED = {"vectors-.arrow", "run.log", ""}
"""The kinds of files at which fsync must have failed: the tail, the log, one that takes a name."""
_BEGUN = re.compile(r"(\d+) +fsync\(\d+<([^>]*)>")
_ENDED = re.compile(r"(\d+) .*\) += (-1 EIO|0)")


@contextmanager
def failing_fsync(pid: int, number: int, log: Path) -> Iterator[None]:
    """The `number`th fsync of each thread from now on fails with EIO."""
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
    """The files that were fsynced, and whether that went well, by the order of the results.

    A call during which another thread made one has two lines: `<unfinished ...>`, `resumed`.
    """
    names: dict[str, str] = {}
    calls = []
    for line in log.read_text().splitlines():
        if begun := _BEGUN.match(line):
            names[begun[1]] = begun[2]
        if (ended := _ENDED.match(line)) and ended[1] in names:
            calls.append((names.pop(ended[1]), ended[2] == "0"))
    return calls


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


@pytest.mark.strace
@pytest.mark.timeout(600)
def test_fsync_fails_once(program, run_base: Path, tmp_path: Path):
    """At each fsync of a flush in turn: files are written anew, and all is there in the end."""
    trainer = Obeying(program, run_base)
    run_dir = trainer.open()
    trainer("more 10")
    trainer("flush 120")
    writer = writer_of(trainer.process.pid)
    failed: set[str] = set()
    logged = [10]
    for number in range(1, MOST):
        if number > MANY and failed >= WANTED:
            break
        log = tmp_path / f"strace-{number}"

        def fails(log: Path = log) -> bool:
            logged.append(trainer("more 10")["logged"])
            trainer("flush 120")
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
    trainer("close 120")
    check_finished(run_dir, logged[-1])
    check_more(run_dir, logged)
    assert failed >= WANTED, failed
