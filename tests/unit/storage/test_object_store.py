"""A store that is a directory: an object is there as a whole, the old one or the new one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from expman.errors import StorageError
from expman.storage import object_store
from expman.storage.object_store import ObjectStore

KEY = "exp/run/vectors.parquet"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """A store in a directory, with one object; it is written byte by byte."""
    monkeypatch.setattr(object_store, "_CHUNK_BYTES", 1)
    monkeypatch.setattr(object_store, "_WHOLE_BYTES", 0)
    store = ObjectStore(f"file://{tmp_path}")
    store.put_bytes(KEY, b"old")
    return store


def test_who_reads_while_an_object_is_replaced(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each byte there is the old object, and no other one."""
    seen = []

    def look(pace: object, count: int) -> None:
        seen.append((store.read(KEY), store.list()[KEY].size, len(store.list())))

    monkeypatch.setattr(object_store._Pace, "wait", look)
    store.put_bytes(KEY, b"another")
    assert [(b"old", 3, 1)] * 7 == seen
    assert b"another" == store.read(KEY)


def test_a_file_that_cannot_be_read_to_its_end(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The object stays as it was, and nothing else is left."""

    def chunks(file: object, size: int) -> Iterator[bytes]:
        yield b"n"
        raise InterruptedError

    source = tmp_path / "source"
    source.write_bytes(b"new")
    monkeypatch.setattr(object_store, "_chunks", chunks)
    store.stop()
    with pytest.raises(StorageError, match=KEY):
        store.put(KEY, str(source))
    assert b"old" == store.read(KEY)
    assert ["vectors.parquet"] == os.listdir(tmp_path / "exp" / "run")
