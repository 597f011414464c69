"""A live run in a store: whatever is copied while its files are fetched, no row is passed over."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from unit.reading.run_files import block

import expman
from expman.metadata import RunMetadata
from expman.models import RunStatus
from expman.reading import stored_base, stored_run
from expman.storage.object_store import ObjectStore
from expman.storage.run_copy import copy_run
from expman.storage.vectors import VectorStore
from expman.storage.yamlfile import RunFile

ROWS = 12
_Put = tuple[str, bytes | None]
"""A key, and what is put there; None: it is deleted."""


class _Shadow(ObjectStore):
    """A store that remembers what was done to it."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.done: list[_Put] = []

    def put_bytes(self, key: str, data: bytes) -> None:
        self.done.append((key, data))
        super().put_bytes(key, data)

    def delete(self, key: str) -> None:
        self.done.append((key, None))
        super().delete(key)


def states(run_dir: Path) -> Iterator[bool]:
    """Brings a run from its begin to its end; yields whether it is live, for a copy of each."""
    run_dir.mkdir(parents=True)
    store = VectorStore(str(run_dir))

    def write(first: int) -> None:
        store.append(block(first, {"x": [1.0, 2.0]}))
        store.flush()

    def note(status: RunStatus) -> bool:
        meta = RunMetadata(name="run", experiment="exp", status=status)
        RunFile(str(run_dir)).write(meta)
        return status is RunStatus.RUNNING

    for first in range(0, ROWS, 2):
        write(first)
        yield note(RunStatus.RUNNING)
        yield note(RunStatus.RUNNING)  # a heartbeat
        if first % 4:
            for _ in store.consolidate():
                pass
    store.finish()
    store.close()
    yield note(RunStatus.FINISHED)


@pytest.fixture(scope="module")
def changes(tmp_path_factory: pytest.TempPathFactory) -> list[_Put]:
    """Everything that copies of a run put into a store, from its begin to its end."""
    home = tmp_path_factory.mktemp("copied")
    (home / "store").mkdir()
    store = _Shadow(f"file://{home / 'store'}")
    for is_live in states(home / "exp" / "run"):
        there = {key.removeprefix("exp/run/"): one for key, one in store.list("exp/run").items()}
        copy_run(str(home / "exp" / "run"), store, "exp/run", there, is_live=is_live)
    return store.done


@pytest.mark.parametrize("has_looked", [False, True])
def test_the_end_of_a_run_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: list[_Put], has_looked: bool
) -> None:
    """Without a look at its rows, too; these are all there then."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(stored_run, "_FRESH_S", -1.0)
    store = ObjectStore(f"file://{tmp_path}")
    later = iter(changes)

    def go_on(last: str) -> None:
        for key, data in later:
            if data is None:
                store.delete(key)
            else:
                store.put_bytes(key, data)
            if key == last:
                return

    go_on("exp/run/run.yaml")
    run = expman.Run(f"file://{tmp_path}/exp/run")
    assert run.is_live
    if has_looked:
        assert 2 == run.vectors().num_rows
    go_on("")
    assert RunStatus.FINISHED is run.status
    assert ROWS == run.vectors().num_rows


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("at_once", [1, 3, 8])
@pytest.mark.parametrize("gap", [0, 2, 5])
def test_changes_between_any_two_requests(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: list[_Put],
    order: int,
    at_once: int,
    gap: int,
) -> None:
    """Who follows a copy gets each row once, in order, and the last one, too."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(stored_base, "_THREADS", 1)
    monkeypatch.setattr(stored_run, "_FRESH_S", -1.0)
    (tmp_path / "store").mkdir()
    url = f"file://{tmp_path / 'store'}"
    store, later = ObjectStore(url), iter(changes)

    def change() -> str:
        key, data = next(later, ("", None))
        if data is not None:
            store.put_bytes(key, data)
        elif key:
            store.delete(key)
        return key

    while not change().endswith("run.yaml"):
        pass
    run = expman.Run(f"{url}/exp/run")
    requests = itertools.count(1)
    original = ObjectStore._try

    def ask(asked: ObjectStore, *given: Any) -> Any:
        if asked is not store and next(requests) % (gap + 1) == 0:
            for _ in range(at_once):
                change()
        found = original(asked, *given)
        return found[::order] if isinstance(found, list) else found  # threads know no order

    monkeypatch.setattr(ObjectStore, "_try", ask)
    assert list(range(ROWS)) == [row.seq for row in run.follow(poll_s=0.0)]
    assert list(range(ROWS)) == run.vectors(["_seq"])["_seq"].to_pylist()
