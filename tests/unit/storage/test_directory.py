"""The directory of a run: ours, another one, or none."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from unit.storage.storage_model import block, seqs

from expman.errors import StorageError
from expman.storage.directory import RunDirectory
from expman.storage.vectors import VectorStore


def test_a_directory_is_made_and_known_again(tmp_path: Path) -> None:
    """Its name may come and go; nothing is made or taken in its place."""
    run, aside = tmp_path / "run", tmp_path / "aside"
    directory = RunDirectory(str(run))
    directory.ensure()
    (run / "a").touch()
    run.rename(aside)
    with pytest.raises(FileNotFoundError, match=str(aside)):
        directory.ensure()
    assert not run.exists()
    run.mkdir()
    with pytest.raises(FileExistsError, match="another directory"):
        directory.ensure()
    assert directory.has("a")
    directory.rename("a", "b")
    assert ["b"] == os.listdir(aside)
    directory.remove("b")
    directory.remove("b")
    assert [] == os.listdir(aside)
    run.rmdir()
    run.write_text("a file")
    with pytest.raises(FileExistsError, match="another directory"):
        directory.ensure()
    run.unlink()
    aside.rename(run)
    directory.ensure()
    directory.close()


def test_a_deleted_directory_is_made_again(tmp_path: Path) -> None:
    """But not the ones above it, and not while another one is there."""
    run = tmp_path / "experiment" / "run"
    run.parent.mkdir()
    directory = RunDirectory(str(run))
    directory.ensure()
    shutil.rmtree(run.parent)
    with pytest.raises(FileNotFoundError):
        directory.ensure()
    run.parent.mkdir()
    directory.ensure()
    assert run.is_dir()
    run.rmdir()
    run.mkdir()
    with pytest.raises(FileExistsError, match="was deleted"):
        directory.ensure()
    directory.close()


def test_a_link_above_is_followed(tmp_path: Path) -> None:
    """A base directory that is a symbolic link is as good as any other."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    directory = RunDirectory(str(tmp_path / "link" / "run"))
    directory.ensure()
    directory.ensure()
    directory.sync()
    directory.close()


def test_a_file_out_of_reach_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory goes away while vectors.parquet is rewritten, and comes back."""
    run, aside = tmp_path / "run", tmp_path / "aside"
    store = VectorStore(str(run))
    store.append(block(0, {"x": [0.5]}))
    store.flush()

    def out_of_reach(path: str, limit: int) -> Iterator[None]:
        run.rename(aside)
        try:
            os.stat(path)
        finally:
            aside.rename(run)
        yield

    with monkeypatch.context() as patch:
        patch.setattr("expman.storage.row_groups.read_tail", out_of_reach)
        with pytest.raises(StorageError, match="out of reach"):
            list(store.consolidate())
    assert [0] == seqs(run)
    store.append(block(1, {"x": [1.5]}))
    store.finish()
    assert [0, 1] == seqs(run)
    store.close()


def test_a_store_that_cannot_be_opened_keeps_no_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer tries it again four times a second, for minutes."""

    def no_listing(path: str) -> list[str]:
        raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    def open_in_run() -> list[str]:
        paths = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
        return [path for path in paths if path.startswith(str(tmp_path))]

    with monkeypatch.context() as patch:
        patch.setattr("expman.storage.resume.os.listdir", no_listing)
        for _ in range(3):
            with pytest.raises(StorageError):
                VectorStore(str(tmp_path / "run"))
    assert [] == open_in_run()
