"""Run.vectors: every row once, the columns asked for, types that fit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from unit.reading.run_files import block, make_run

import expman
from expman.errors import ConfigError, StorageError
from expman.reading.parquetfile import VectorsParquet
from expman.storage.vectors import VectorStore


def seqs(run: expman.Run) -> list[int]:
    found: list[int] = run.vectors(["_seq"])["_seq"].to_pylist()
    return found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VectorStore]:
    """The writer's end of a run in `tmp_path/exp/run`."""
    (tmp_path / "exp" / "run").mkdir(parents=True)
    store = VectorStore(str(tmp_path / "exp" / "run"))
    yield store
    store.close()


@pytest.fixture
def run(tmp_path: Path, store: VectorStore) -> expman.Run:
    return expman.Run(tmp_path / "exp" / "run")


def write(store: VectorStore, first: int, rows: int) -> None:
    store.append(block(first, {"x": [float(seq) for seq in range(first, first + rows)]}))
    store.flush()


def consolidate(store: VectorStore) -> None:
    for _ in store.consolidate():
        pass


def test_file_and_tail_are_one_table(run: expman.Run, store: VectorStore) -> None:
    """Rows of vectors.parquet and of the tail are there once, in order, as they come."""
    assert [] == seqs(run)
    write(store, 0, 3)
    assert [0, 1, 2] == seqs(run)
    consolidate(store)
    write(store, 3, 2)
    assert [0, 1, 2, 3, 4] == seqs(run)
    assert ["step", "timestamp", "x"] == run.vectors().column_names


def test_consolidation_between_tail_and_file(
    run: expman.Run, store: VectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A consolidation after the tail was read and before the file is opened repeats no row."""
    write(store, 0, 3)
    consolidate(store)
    write(store, 3, 3)
    opened = VectorsParquet.open

    def open_late(run_dir: str, stem: str) -> VectorsParquet | None:
        write(store, 6, 2)
        consolidate(store)
        return opened(run_dir, stem)

    monkeypatch.setattr(VectorsParquet, "open", open_late)

    assert [0, 1, 2, 3, 4, 5, 6, 7] == seqs(run)


def test_replacement_of_an_open_file(
    run: expman.Run, store: VectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is replaced between its footer and its data is read as it was opened."""
    write(store, 0, 3)
    consolidate(store)
    read = VectorsParquet.read

    def read_late(self: VectorsParquet, columns: object, groups: object = None) -> pa.Table:
        write(store, 3, 2000)
        consolidate(store)
        return read(self, columns, groups)  # type: ignore[arg-type]

    monkeypatch.setattr(VectorsParquet, "read", read_late)

    assert [0, 1, 2] == seqs(run)


def test_producers_are_told_apart(run: expman.Run, store: VectorStore) -> None:
    """Rows of several producers carry numbers of their own, and none is taken for another's."""
    store.append(block(0, {"x": [1.0, 2.0]}))
    store.append(block(0, {"x": [3.0]}, producer="worker-1"))
    store.flush()
    consolidate(store)
    store.append(block(1, {"x": [4.0]}, producer="worker-1"))
    store.append(block(0, {"x": [5.0]}, producer="worker-2"))
    store.append(block(2, {"x": [6.0]}))
    store.flush()

    table = run.vectors(["_producer", "_seq", "x"])

    assert [1.0, 2.0, 3.0, 4.0, 5.0, 6.0] == table["x"].to_pylist()
    assert 6 == len({(row["_producer"], row["_seq"]) for row in table.to_pylist()})


def test_types_widen_over_the_files(run: expman.Run, store: VectorStore) -> None:
    """A column that is wider in the tail than in the file is as wide in the whole table."""
    store.append(block(0, {"n": [True], "m": [1]}))
    store.flush()
    consolidate(store)
    store.append(block(1, {"n": [7], "m": [0.5], "late": ["text"]}))
    store.flush()

    table = run.vectors()

    assert [1, 7] == table["n"].to_pylist()
    assert [1.0, 0.5] == table["m"].to_pylist()
    assert [None, "text"] == table["late"].to_pylist()
    assert [pa.int64(), pa.float64()] == [table.schema.field(name).type for name in "nm"]


def test_torn_end_of_the_tail(run: expman.Run, store: VectorStore) -> None:
    """A batch that is being written is left for the next look."""
    write(store, 0, 2)
    path = Path(run.path, "vectors-0001.arrow")
    whole = path.read_bytes()
    write(store, 2, 2)
    longer = path.read_bytes()
    for size in range(len(whole), len(longer), 16):
        path.write_bytes(longer[:size])
        assert [0, 1] == seqs(run)
    path.write_bytes(longer)
    assert [0, 1, 2, 3] == seqs(run)


def test_only_the_columns_asked_for(tmp_path: Path) -> None:
    """The table has exactly the columns that were named, in that order."""
    run = expman.Run(make_run(tmp_path, "run", block(0, {"a": [1.0], "b": [2.0], "c": [3.0]})))

    assert ["c", "step", "a"] == run.vectors(["c", "step", "a"]).column_names
    assert ["a", "b", "c"] == run.metrics


def test_unknown_columns(tmp_path: Path) -> None:
    """A column that the run does not have raises, and the message names those it has."""
    run = expman.Run(make_run(tmp_path, "run", block(0, {"loss": [1.0]})))

    with pytest.raises(ConfigError, match=r"'lsos'; did you mean 'loss'\? Metrics: loss"):
        run.vectors(["lsos"])


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (20, [20]),
        (range(10, 31, 10), [10, 20, 30]),
        (slice(30, None), [30, 40]),
        (slice(None, 10), [0]),
        (range(0, 41, 20), [0, 20, 40]),
        ([40, 0, 7], [0, 40]),
        (range(0), []),
    ],
)
def test_steps(tmp_path: Path, steps: object, expected: list[int]) -> None:
    """Steps are chosen by one, by range, by slice or by a collection."""
    run = expman.Run(make_run(tmp_path, "run", block(0, {"x": [1.0] * 5})))

    assert expected == run.vectors(["step"], steps=steps)["step"].to_pylist()  # type: ignore[arg-type]


def test_last_rows_span_file_and_tail(run: expman.Run, store: VectorStore) -> None:
    """The newest rows are taken from the tail and, as far as needed, from the file."""
    write(store, 0, 5000)
    consolidate(store)
    write(store, 5000, 3)

    assert [5001, 5002] == run.vectors(["_seq"], last=2)["_seq"].to_pylist()
    assert list(range(4998, 5003)) == run.vectors(["_seq"], last=5)["_seq"].to_pylist()
    assert 5003 == run.vectors(["_seq"], last=9999).num_rows


def test_merged_steps(tmp_path: Path) -> None:
    """One row per step with the latest value of each metric; NaN is a value, null is none."""
    rows = block(0, {"a": [1.0, None, 3.0, math.nan], "b": [None, 2.0, None, None]})
    rows.steps[:] = [1, 1, 0, 1]
    extra = block(4, {"a": [9.0, 8.0]})
    extra.steps[:] = [None, None]
    run = expman.Run(make_run(tmp_path, "run", rows, extra))

    table = run.vectors(["step", "a", "b"], merge_steps=True)

    assert [0, 1, None, None] == table["step"].to_pylist()
    assert [3.0, 9.0, 8.0] == [value for value in table["a"].to_pylist() if value == value]
    assert [None, 2.0, None, None] == table["b"].to_pylist()


def test_damaged_file(tmp_path: Path) -> None:
    """A vectors.parquet that is none raises StorageError naming it."""
    run_dir = make_run(tmp_path, "run", block(0, {"x": [1.0]}))
    (run_dir / "vectors.parquet").write_bytes(b"PAR1junkPAR1")

    with pytest.raises(StorageError, match=r"vectors\.parquet"):
        expman.Run(run_dir).vectors()


def test_frames(tmp_path: Path) -> None:
    """pandas, polars and DuckDB get the same rows."""
    pytest.importorskip("polars")
    pytest.importorskip("duckdb")
    pytest.importorskip("pandas")
    run = expman.Run(make_run(tmp_path, "run", block(0, {"x": [1.0, 2.0]})))

    assert [1.0, 2.0] == run.to_pandas(["x"])["x"].tolist()
    assert [1.0, 2.0] == run.to_polars(["x"])["x"].to_list()
    assert [(3.0,)] == run.to_duckdb(["x"]).sum("x").fetchall()
    assert (2, 3) == run.to_pandas().shape


def test_integers_are_exact_in_pandas(tmp_path: Path) -> None:
    """A column of integers that some rows lack is no column of floats; others are as before."""
    pandas = pytest.importorskip("pandas")
    big = [2**53 + 1, 2**63 - 1, -(2**63)]
    first = block(0, {"id": big, "x": [1.0, math.nan, 2.0]})
    second = block(3, {"y": [1], "flag": [True]})
    second.steps[:] = [None]
    run = expman.Run(make_run(tmp_path, "run", first, second))

    frame = run.to_pandas()

    assert run.vectors().column_names == frame.columns.tolist()
    assert [*big, pandas.NA] == frame["id"].tolist()
    assert ["Int64", "Int64", "float64"] == [str(frame[name].dtype) for name in ("step", "y", "x")]
    whole = expman.Run(make_run(tmp_path, "whole", block(0, {"id": big}))).to_pandas()
    assert (big, "int64") == (whole["id"].tolist(), str(whole["id"].dtype))


def test_case_stays_apart_in_sql(tmp_path: Path) -> None:
    """Names that SQL takes for one are renamed: the plain name is an error."""
    duckdb = pytest.importorskip("duckdb")
    names = ["loss", "Loss", "loss__case1", "STEP", 'a"b', "x; DROP TABLE", "größe", "a/b"]
    values = {name: [float(number)] for number, name in enumerate(names)}
    relation = expman.Run(make_run(tmp_path, "run", block(0, values))).to_duckdb()

    renamed = ["loss__case2", "Loss__case3", "loss__case1", "STEP__case1", *names[4:]]
    assert ["step", "timestamp", *renamed] == relation.columns
    for number, name in enumerate(renamed):
        quoted = name.replace('"', '""')
        assert [(float(number),)] == relation.project(f'"{quoted}"').fetchall()
    with pytest.raises(duckdb.BinderException):
        relation.project("loss")
