"""Run.follow: each new row once, in order, until the run has ended."""

from __future__ import annotations

import itertools
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from unit.reading.run_files import block

import expman
from expman.metadata import RunMetadata
from expman.models import RunStatus
from expman.reading.follow import Follower, to_rows
from expman.storage.vectors import VectorStore
from expman.storage.yamlfile import RunFile


def set_status(run_dir: Path, status: RunStatus) -> None:
    RunFile(str(run_dir)).write(RunMetadata(name="run", experiment="exp", status=status))


def write(store: VectorStore, first: int, rows: int, producer: str = "main") -> None:
    store.append(block(first, {"x": [float(n) for n in range(first, first + rows)]}, producer))
    store.flush()


def consolidate(store: VectorStore) -> None:
    for _ in store.consolidate():
        pass


def take(follower: Follower) -> list[tuple[str, int]]:
    return [(row.producer, row.seq) for table in follower.poll() for row in to_rows(table)]


def test_a_tail_file_under_the_name_of_an_earlier_one(tmp_path: Path) -> None:
    """A later attempt begins its tail files anew: who follows the run reads on in them."""
    follower = Follower(str(tmp_path))
    for attempt in range(3):
        store = VectorStore(str(tmp_path))
        write(store, 2 * attempt, 2)
        assert [("main", 2 * attempt), ("main", 2 * attempt + 1)] == take(follower)
        store.finish()
        store.close()
    follower.close()


def test_every_interleaving_of_looks_and_writes(tmp_path: Path) -> None:
    """Whatever happens between two looks, each row is seen once, in its producer's order."""
    for number, plan in enumerate(itertools.product("wlc", repeat=4)):
        (tmp_path / str(number)).mkdir()
        store = VectorStore(str(tmp_path / str(number)))
        follower = Follower(str(tmp_path / str(number)))
        seen: list[tuple[str, int]] = []
        written = 0
        for action in (*plan, "l"):
            match action:
                case "w":
                    write(store, written, 2)
                    written += 2
                case "c":
                    consolidate(store)
                case "l":
                    seen += take(follower)
        assert [("main", seq) for seq in range(written)] == seen, plan
        follower.close()
        store.close()


def test_producers_and_columns_that_come_later(tmp_path: Path) -> None:
    """A new producer and a new metric appear with their first rows."""
    store, follower = VectorStore(str(tmp_path)), Follower(str(tmp_path))
    write(store, 0, 2)
    assert [("main", 0), ("main", 1)] == take(follower)
    write(store, 0, 1, "worker-1")
    consolidate(store)
    store.append(block(2, {"text": ["t"]}))
    store.flush()

    rows = [row for table in follower.poll() for row in to_rows(table)]

    assert [("worker-1", 0), ("main", 2)] == [(row.producer, row.seq) for row in rows]
    assert [{"x": 0.0}, {"text": "t"}] == [row.values for row in rows]
    follower.close()
    store.close()


def test_rows_are_whole(tmp_path: Path) -> None:
    """A row has its step, its time and only the metrics that it was logged with."""
    store = VectorStore(str(tmp_path))
    store.append(block(0, {"a": [1], "b": [None]}))
    store.finish()

    (row,) = (row for table in Follower(str(tmp_path)).poll() for row in to_rows(table))

    assert expman.VectorRow({"a": 1}, 0, 1_700_000_000_000_000_000, "main", 0) == row


def test_follow_ends_with_the_run(tmp_path: Path) -> None:
    """The rows of a run's last moments come, then the iteration ends."""
    store = VectorStore(str(tmp_path))
    set_status(tmp_path, RunStatus.RUNNING)
    write(store, 0, 2)
    rows = expman.Run(tmp_path).follow(poll_s=0.001)

    assert [0, 1] == [next(rows).seq, next(rows).seq]
    write(store, 2, 1)
    store.finish()
    set_status(tmp_path, RunStatus.FINISHED)
    assert [2] == [row.seq for row in rows]


@pytest.mark.parametrize(("from_start", "expected"), [(True, [0, 1]), (False, [])])
def test_where_to_begin(tmp_path: Path, from_start: bool, expected: list[int]) -> None:
    """Rows that are there already are left out on demand; a quiet run ends by the timeout."""
    store = VectorStore(str(tmp_path))
    set_status(tmp_path, RunStatus.RUNNING)
    write(store, 0, 2)

    rows = expman.Run(tmp_path).follow(from_start=from_start, poll_s=0.001, timeout_s=0.01)

    assert expected == [row.seq for row in rows]
    store.close()


@pytest.mark.parametrize("last", [0, 3, 99])
def test_beginning_with_the_last_rows(tmp_path: Path, last: int) -> None:
    """The last rows of file and tail come, and then each new one, none twice."""
    store, follower = VectorStore(str(tmp_path)), Follower(str(tmp_path))
    write(store, 0, 5)
    consolidate(store)
    write(store, 5, 2)

    shown = [row.seq for row in to_rows(follower.skip(last))]

    assert list(range(7))[max(0, 7 - last) :] == shown
    assert [] == take(follower)
    write(store, 7, 1)
    consolidate(store)
    assert [("main", 7)] == take(follower)
    follower.close()
    store.close()


@pytest.mark.parametrize("place", ["vectors.parquet", "vectors-0001.arrow"])
@pytest.mark.parametrize("last", [0, 2, 9])
def test_rows_without_numbers(tmp_path: Path, place: str, last: int) -> None:
    """Of a run of expman-rs, too, the rows that were skipped do not come again."""
    stamps = pa.array([1, 2, 3], pa.timestamp("us", "UTC"))
    table = pa.table({"step": [0, 1, 2], "timestamp": stamps, "x": [0.0, 1.0, 2.0]})
    if place.endswith(".parquet"):
        pq.write_table(table, tmp_path / place)
    else:
        with pa.ipc.new_stream(str(tmp_path / place), table.schema) as stream:
            stream.write_table(table)
    follower = Follower(str(tmp_path))
    assert [0, 1, 2][3 - last if last < 3 else 0 :] == follower.skip(last)["step"].to_pylist()
    assert [] == take(follower)
    follower.close()
