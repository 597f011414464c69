"""The leak check itself: it must see what it is there to see."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import leaks as leak_check
import msgspec
import pytest
from leaks import REPOSITORY, SHM_DIR, TOKEN_VARIABLE, processes, take_snapshot

from expman.transport import layout

LEAK_PLACES = (SHM_DIR, REPOSITORY)
TOKEN = f"token of the orphan {os.getpid()}"
GRACE_S = 0.2
EARLIER: set[int] = set()

# Starts a grandchild in a session of its own, says its pid and ends.
ORPHAN = """
import subprocess, sys
child = subprocess.Popen(
    [sys.executable, "-c", "import sys; sys.stdin.read()"],
    stdin=sys.stdin, stdout=subprocess.DEVNULL, start_new_session=True,
)
print(child.pid)
"""


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Directories that no other test uses at the same time."""
    for name in ("SHM_DIR", "REPOSITORY"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(leak_check, name, tmp_path / name)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


@pytest.fixture(autouse=True)
def earlier() -> set[int]:
    """What ran before the test: writers of other tests may still be ending."""
    pids = {process.pid for process in processes()}
    EARLIER.clear()
    EARLIER.update(pids)
    return pids


def find_leaks(before: leak_check.Snapshot, token: str, grace_s: float) -> list[str]:
    """The leaks, without those of processes that ran before."""
    found = leak_check.find_leaks(before, token, grace_s)
    return [leak for leak in found if not any(leak.startswith(f"process {p} ") for p in EARLIER)]


@pytest.fixture
def orphan() -> Iterator[int]:
    """A process whose parent has ended; it ends when its standard input does."""
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHAN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, TOKEN_VARIABLE: TOKEN},
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.wait()
    yield pid
    parent.stdin.close()
    parent.stdout.close()


def test_nothing_is_found_where_nothing_was_left() -> None:
    """A session that leaves nothing behind has no leaks."""
    assert [] == find_leaks(take_snapshot(), "token of nobody", GRACE_S)


def test_an_orphan_in_its_own_session_is_found(orphan: int) -> None:
    """A process is found by its environment although its parent is gone."""
    leaks = find_leaks(take_snapshot(), TOKEN, GRACE_S)

    assert [f"process {orphan} still runs"] == [leak.split(":")[0] for leak in leaks]


def test_a_forked_child_is_found() -> None:
    """A child that shares our environment block is found by its parentage."""
    before = take_snapshot()
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    try:
        leaks = find_leaks(before, "token of nobody", GRACE_S)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    assert [f"process {pid} still runs"] == [leak.split(":")[0] for leak in leaks]


@pytest.mark.parametrize(
    ("directory", "message"),
    [
        ("SHM_DIR", "shared memory left behind"),
        ("tmp", "temporary file left behind"),
        ("REPOSITORY", "file left behind in the repository"),
    ],
)
def test_a_file_is_found(tmp_path: Path, directory: str, message: str) -> None:
    """A segment, a temporary file and a file in the repository are found, new ones only."""
    before = take_snapshot()
    path = tmp_path / directory / "expman-1"
    path.touch(mode=0o600)

    leaks = find_leaks(before, "token of nobody", GRACE_S)

    assert [message] == [leak.split(":")[0] for leak in leaks]
    assert [] == find_leaks(take_snapshot(), "token of nobody", GRACE_S)


def segment(path: Path, base_dir: Path) -> None:
    """Writes a lane's control whose hello names a base directory."""
    hello = msgspec.msgpack.encode({"base_dir": str(base_dir)})
    words = memoryview(bytearray(layout.CONTROL_BYTES)).cast("Q")
    words[layout.MAGIC], words[layout.HELLO_BYTES] = layout.MAGIC_LANE, len(hello)
    path.write_bytes(bytes(words) + hello)


def test_memory_of_another_session_is_passed_by(tmp_path: Path) -> None:
    """A lane whose run lies elsewhere is another's, with its terms and its address."""
    own, elsewhere, gone = (tmp_path / name for name in ("own", "elsewhere", "gone"))
    (own / "run").mkdir(parents=True)
    elsewhere.mkdir()
    before = take_snapshot()
    for number, base_dir in enumerate((own / "run", elsewhere, gone)):
        names = [f"expman-{number}", f"expman-{number}-7", f"expman-{number}-7-8"]
        for name in names:
            (leak_check.SHM_DIR / name).touch()
        segment(leak_check.SHM_DIR / names[1], base_dir)

    leaks = leak_check.find_leaks(before, "token of nobody", GRACE_S, own=(own,))

    found = [leak.rpartition("/")[2] for leak in leaks if leak.startswith("shared memory")]
    assert [f"expman-{n}{rest}" for n in (0, 2) for rest in ("", "-7", "-7-8")] == found


def test_what_comes_and_goes_is_no_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another session's memory is there at any moment, each piece for a moment only."""
    moments = iter(range(10**6))

    def named(directory: Path) -> frozenset[Path]:
        return frozenset({directory / f"expman-{next(moments)}"})

    before = take_snapshot()
    monkeypatch.setattr(leak_check, "_named", named)
    monkeypatch.setattr(leak_check, "_made_since", lambda path, moment: True)
    # An earlier test's process that is still ending would have the check wait for it.
    monkeypatch.setattr(leak_check, "_sort_processes", lambda token: ([], []))

    assert [] == find_leaks(before, "token of nobody", 60)


def test_the_places_exist() -> None:
    """What the session itself is checked for is what expman uses."""
    assert LEAK_PLACES == (Path("/dev/shm"), Path(__file__).parents[2])
