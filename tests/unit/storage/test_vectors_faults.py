"""Storage trouble: whatever fails at whatever moment, no row is lost and none is twice."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from unit.storage.storage_model import block, seqs

from expman.errors import StorageError
from expman.storage.vectors import VectorStore


class Failing:
    """An os function that fails at the nth call, once or from then on."""

    def __init__(self, name: str, at: int, code: int, *, once: bool, partial: bool) -> None:
        self.real: Callable[..., object] = getattr(os, name)
        self.left = at
        self.code = code
        self.once = once
        self.partial = partial
        self.failed = 0

    def __call__(self, *args: object, **kwargs: object) -> object:
        self.left -= 1
        if self.left == 0 or (self.left < 0 and not self.once):
            self.failed += 1
            if self.partial:
                fd, data = args
                self.real(fd, data[: len(data) // 2])  # type: ignore[index,arg-type]
            raise OSError(self.code, os.strerror(self.code))
        return self.real(*args, **kwargs)


def work(store: VectorStore, failures: list[StorageError]) -> None:
    """Logs 8 rows in the way a writer does, with a schema change, and goes on over errors."""

    def attempt(action: Callable[[], object]) -> None:
        try:
            action()
        except StorageError as exc:
            failures.append(exc)

    for seq in range(8):
        key = "x" if seq < 5 else "y"
        store.append(block(seq, {key: [seq + 0.5]}))
        attempt(lambda: store.flush(sync=True))
        if seq in (3, 6):
            attempt(lambda: list(store.consolidate()))
    attempt(store.finish)


@pytest.mark.parametrize("at", range(1, 16))
@pytest.mark.parametrize(
    ("name", "code", "partial"),
    [
        ("write", errno.ENOSPC, False),
        ("write", errno.ENOSPC, True),
        ("write", errno.EIO, True),
        ("write", errno.EFBIG, True),
        ("write", errno.ESTALE, False),
        ("fsync", errno.EIO, False),
        ("rename", errno.EIO, False),
        ("unlink", errno.EACCES, False),
        ("open", errno.EMFILE, False),
    ],
)
@pytest.mark.parametrize("once", [True, False])
def test_every_failure_heals(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    code: int,
    partial: bool,
    at: int,
    once: bool,
) -> None:
    """After the trouble one finish() has every row once, and so has a successor's."""
    failing = Failing(name, at, code, once=once, partial=partial)
    store = VectorStore(str(tmp_path / "run"))
    failures: list[StorageError] = []
    with monkeypatch.context() as patch:
        patch.setattr(os, name, failing)
        work(store, failures)
    if failing.failed and not once and name != "unlink":
        assert failures
        assert str(tmp_path) in str(failures[-1])
    # A successor that starts from the files, as after a kill: replays what is not in them.
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "run", copy)
    successor = VectorStore(str(copy))
    first = successor.next_seq("main")
    for seq in range(first, 8):
        successor.append(block(seq, {"x" if seq < 5 else "y": [seq + 0.5]}))
    successor.finish()
    assert list(range(8)) == seqs(copy)
    # The same store, healed.
    store.finish()
    assert list(range(8)) == seqs(tmp_path / "run")
    assert ["vectors.parquet"] == [path.name for path in (tmp_path / "run").iterdir()]


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """write() may take fewer bytes than asked, at any time."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:7]))
    store = VectorStore(str(tmp_path))
    store.append(block(0, {"x": [0.5] * 100}))
    store.flush()
    assert list(range(100)) == seqs(tmp_path)


def test_failed_write_with_failed_truncate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The torn file counts up to its last good byte, and the rows go to the next file."""

    def no_truncate(*args: object) -> None:
        raise OSError(errno.EIO, "no")

    store = VectorStore(str(tmp_path))
    store.append(block(0, {"x": [0.5]}))
    store.flush()
    store.append(block(1, {"x": [1.5]}))
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", Failing("write", 1, errno.EIO, once=True, partial=True))
        patch.setattr(os, "ftruncate", no_truncate)
        patch.setattr(os, "truncate", no_truncate)
        with pytest.raises(StorageError):
            store.flush()
        assert 1 == store.pending_rows
        store.flush()
        copy = tmp_path.with_name("copy")
        shutil.copytree(tmp_path, copy)
        for _ in store.consolidate():
            pass
    assert [0, 1] == seqs(tmp_path)
    VectorStore(str(copy)).finish()
    assert [0, 1] == seqs(copy)


def test_write_reported_as_failed_but_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are there despite the error, as NFS can do, are not counted twice."""
    store = VectorStore(str(tmp_path))
    store.append(block(0, {"x": [0.5]}))
    store.flush()
    store.append(block(1, {"x": [1.5]}))
    real = os.write

    def lying(fd: int, data: bytes) -> int:
        real(fd, data)
        raise OSError(errno.EIO, "lie")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lying)
        patch.setattr(os, "ftruncate", lambda *args: os.stat("/nonexistent"))
        patch.setattr(os, "truncate", lambda *args: os.stat("/nonexistent"))
        with pytest.raises(StorageError):
            store.flush()
        patch.undo()
        patch.setattr(os, "ftruncate", lambda *args: os.stat("/nonexistent"))
        patch.setattr(os, "truncate", lambda *args: os.stat("/nonexistent"))
        store.flush()
    store.close()
    successor = VectorStore(str(tmp_path))
    assert 2 == successor.next_seq("main")
    assert [0, 1] == seqs(tmp_path)
    successor.finish()
    assert [0, 1] == seqs(tmp_path)


def test_removed_directory_is_made_again(tmp_path: Path) -> None:
    """Rows in the removed files are gone, and said to be; the rows in memory are written."""
    run_dir = tmp_path / "run"
    store = VectorStore(str(run_dir))
    store.append(block(0, {"x": [0.5]}))
    store.flush()
    shutil.rmtree(run_dir)
    store.append(block(1, {"x": [1.5]}))
    with pytest.raises(StorageError, match="removed"):
        store.flush()
    store.flush(sync=True)
    assert [1] == seqs(run_dir)
    assert 1 == store.rows_written
    shutil.rmtree(run_dir)
    store.append(block(2, {"x": [2.5]}))
    with pytest.raises(StorageError, match="removed"):
        store.finish()
    store.finish()
    assert [2] == seqs(run_dir)
    assert 2 == len(store.take_warnings())


def test_removed_parquet_does_not_stop_the_run(tmp_path: Path) -> None:
    """Somebody deleted vectors.parquet: later rows make a new one, and a warning says so."""
    store = VectorStore(str(tmp_path))
    store.append(block(0, {"x": [0.5]}))
    store.finish()
    (tmp_path / "vectors.parquet").unlink()
    store.append(block(1, {"x": [1.5]}))
    store.finish()
    assert [1] == seqs(tmp_path)
    assert 1 == store.rows_written
    assert "removed" in store.take_warnings()[0]
