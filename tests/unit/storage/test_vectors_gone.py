"""A run's directory that somebody removed: its rows are gone, and what follows is kept."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from unit.storage.storage_model import block, seqs

from expman.errors import StorageError
from expman.storage.vectors import VectorStore


def finish(store: VectorStore) -> None:
    """Ends as a writer does, which tries again; it must not have to for ever."""
    for _ in range(3):
        try:
            store.flush(sync=True)
            store.finish()
        except StorageError as exc:
            last = exc
        else:
            return
    raise last


@pytest.mark.parametrize("in_parquet", [0, 1, 2])
@pytest.mark.parametrize("more", [False, True])
def test_a_directory_that_was_removed(tmp_path: Path, in_parquet: int, more: bool) -> None:
    """Whatever was in it, the store ends without an error that would come for ever."""
    run = tmp_path / "run"
    store = VectorStore(str(run))
    for number in range(2):
        store.append(block(number, {"x": [0.5]}))
        store.flush(sync=True)
        if number < in_parquet:
            list(store.consolidate())
    shutil.rmtree(run)
    if more:
        store.append(block(2, {"x": [1.5]}))
    finish(store)
    assert ([2] if more else []) == seqs(run)


@pytest.mark.parametrize("idle", [False, True])
def test_a_directory_that_was_removed_while_the_tail_was_consolidated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, idle: bool
) -> None:
    """It goes away between the rename and the deletion; the writer may then have no new row."""
    run = tmp_path / "run"
    store = VectorStore(str(run))
    store.append(block(0, {"x": [0.5]}))
    store.flush()

    def remove(point: str) -> None:
        if point == "parquet-after-rename":
            shutil.rmtree(run)

    with monkeypatch.context() as patch:
        patch.setattr("expman.storage.vectors.hit", remove)
        list(store.consolidate())
    assert not (run / "vectors.parquet").exists()
    if idle:
        finish(store)
    store.append(block(1, {"x": [1.5]}))
    finish(store)
    assert [1] == seqs(run)
