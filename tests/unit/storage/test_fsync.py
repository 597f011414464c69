"""fsync that fails once, of any file at any moment: what is called durable is on the disk."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from unit.storage.lossy_disk import LossyDisk
from unit.storage.storage_model import block, seqs

from expman.errors import StorageError
from expman.storage import live_tail
from expman.storage.paths import replace_file
from expman.storage.runlog import RunLog
from expman.storage.vectors import VectorStore

ROWS = 12


def work(store: VectorStore, run: Path, disk: LossyDisk, tmp_path: Path) -> None:
    """Logs rows of changing columns; after each good flush the disk has all of them."""
    number = 0
    for seq in range(ROWS):
        store.append(block(seq, {"x" if seq % 6 < 4 else "y": [seq + 0.5]}))
        try:
            store.flush(sync=seq % 3 > 0)
            if seq % 4 == 3:
                list(store.consolidate())
            if seq % 3 == 0:
                continue
            store.flush(sync=True)
        except StorageError:
            continue
        number += 1
        check(disk.crash(tmp_path / f"crashed-{number}"), seq + 1)


def check(crashed: Path, rows: int) -> None:
    """Whoever comes after the crash finds these rows, once."""
    after = VectorStore(str(crashed))
    after.finish()
    after.close()
    assert list(range(rows)) == seqs(crashed)


@pytest.mark.parametrize(
    ("at", "times"), [*((at, 1) for at in range(1, 23)), (2, 2), (6, 2), (13, 3), (21, 2)]
)
def test_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, times: int) -> None:
    """Tail files, vectors.parquet and the names of both."""
    run = tmp_path / "run"
    disk = LossyDisk(run, tmp_path / "shadow", set(range(at, at + times)))
    disk.install(monkeypatch)
    store = VectorStore(str(run))
    work(store, run, disk, tmp_path)
    for _ in range(times):
        with contextlib.suppress(StorageError):
            store.finish()
    store.finish()
    assert times == len(disk.failed)
    assert ["vectors.parquet"] == [path.name for path in run.iterdir()]
    crashed = disk.crash(tmp_path / "crashed")
    assert (run / "vectors.parquet").read_bytes() == (crashed / "vectors.parquet").read_bytes()
    check(crashed, ROWS)


@pytest.mark.parametrize("at", range(1, 9))
def test_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """run.log: no line is lost, doubled or out of order."""
    run = tmp_path / "run"
    run.mkdir()
    disk = LossyDisk(run, tmp_path / "shadow", {at})
    disk.install(monkeypatch)
    log = RunLog(str(run))
    for number in range(8):
        log.append([("INFO", 0, f"line {number}")])
        try:
            if number % 2:
                log.sync()
        except StorageError:
            continue
        if number % 2:
            crashed = disk.crash(tmp_path / f"crashed-{number}") / "run.log"
            assert (run / "run.log").read_bytes() == crashed.read_bytes()
    log.sync()
    crashed = disk.crash(tmp_path / "crashed") / "run.log"
    lines = [line.rpartition("] ")[2] for line in crashed.read_text().splitlines()]
    assert [f"line {number}" for number in range(8)] == lines
    log.close()
    # Another writer goes on, and its fsync fails: it has nothing of this in memory.
    disk.fails_at = {disk.calls + 1}
    after = RunLog(str(run))
    with pytest.raises(StorageError, match=r"run\.log: Input/output error"):
        after.sync()
    after.append([("INFO", 0, "line 8")])
    after.sync()
    again = disk.crash(tmp_path / "again") / "run.log"
    assert 9 == len(again.read_text().splitlines())


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_replaced_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """run.yaml and config.yaml: what `replace_file` called durable is there."""
    run = tmp_path / "run"
    run.mkdir()
    disk = LossyDisk(run, tmp_path / "shadow", {at})
    disk.install(monkeypatch)
    failures = 0
    for number in range(4):
        data = b"a: %d\n" % number
        try:
            replace_file(str(run / "run.yaml"), data)
        except StorageError:
            failures += 1
            replace_file(str(run / "run.yaml"), data)
        crashed = disk.crash(tmp_path / f"crashed-{number}")
        assert data == (crashed / "run.yaml").read_bytes()
    assert 1 == failures


def test_what_is_kept_in_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are made durable before more than so many bytes of them are kept in memory."""
    monkeypatch.setattr(live_tail, "MAX_KEPT_BYTES", 20_000)
    run = tmp_path / "run"
    disk = LossyDisk(run, tmp_path / "shadow", set())
    disk.install(monkeypatch)
    store = VectorStore(str(run))
    for number in range(20):
        store.append(block(100 * number, {"x": [0.5] * 100}))
        store.flush()
    assert 1 < disk.calls < 10
    store.close()


def test_a_successor_whose_fsync_fails_writes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed writer left dirty goes to a new file as long as it can be read."""
    run = tmp_path / "run"
    disk = LossyDisk(run, tmp_path / "shadow", set())
    disk.install(monkeypatch)
    store = VectorStore(str(run))
    store.append(block(0, {"x": [0.5]}))
    store.flush()
    store.close()
    disk.fails_at = {disk.calls + 1}
    after = VectorStore(str(run))
    after.flush(sync=True)
    crashed = disk.crash(tmp_path / "crashed")
    assert [0] == seqs(crashed)
    assert 1 == len(disk.failed)
    after.close()
