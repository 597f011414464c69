"""VectorStore: type rules, schema growth, and what is where at each moment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from unit.storage.storage_model import block, finished, metric_of, rows, same, seqs, tables

from expman.storage.tail import TailFile
from expman.storage.vectors import RowBlock, VectorStore


def column(table: pa.Table, name: str) -> list[object]:
    return table.column(name).to_pylist()


def test_schema_is_fixed_columns_then_metrics_by_first_appearance(tmp_path: Path) -> None:
    """The schema is that of docs/reference/files.md, whatever order later rows have."""
    table = finished(tmp_path, block(0, {"b": [1.0]}), block(1, {"a": [1], "b": [2.0]}))
    expected = pa.schema(
        [
            ("step", pa.int64()),
            ("timestamp", pa.timestamp("us", tz="UTC")),
            ("_producer", pa.string()),
            ("_seq", pa.int64()),
            ("b", pa.float64()),
            ("a", pa.int64()),
        ]
    )
    assert expected.equals(table.schema)


def test_special_floats_are_values(tmp_path: Path) -> None:
    """NaN, infinities and -0.0 are kept; null means not logged."""
    values = [float("nan"), float("inf"), float("-inf"), -0.0, 5e-324, 1.7976931348623157e308]
    table = finished(tmp_path, block(0, {"x": values}), block(6, {"y": [1.0]}))
    assert all(map(same, values, column(table, "x")[:6]))
    assert [None] == column(table, "x")[6:]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([True, False], [3], [1, 0, 3]),
        ([True], [0.5], [1.0, 0.5]),
        ([2**53], [0.5], [2.0**53, 0.5]),
        ([0.5], [True, 7], [0.5, 1.0, 7.0]),
        ([1], [True], [1, 1]),
        ([2**63 - 1, -(2**63)], [0], [2**63 - 1, -(2**63), 0]),
        ([True, 2, 0.5], [False], [1.0, 2.0, 0.5, 0.0]),
    ],
)
def test_numbers_only_widen(
    tmp_path: Path, first: list[object], second: list[object], expected: list[object]
) -> None:
    """bool, int64, float64: a column widens and its earlier rows with it."""
    table = finished(tmp_path, block(0, {"x": first}), block(len(first), {"x": second}))
    assert all(map(same, expected, column(table, "x")))
    assert len(expected) == table.num_rows


def test_widening_reaches_rows_that_are_in_parquet_already(tmp_path: Path) -> None:
    """An int column consolidated earlier is rewritten as float64, with a warning past 2**53."""
    store = VectorStore(str(tmp_path))
    store.append(block(0, {"x": [1, 2**53 + 1]}))
    store.finish()
    store.append(block(2, {"x": [0.5]}))
    store.finish()
    assert [1.0, float(2**53), 0.5] == column(tables(tmp_path)[0], "x")
    [warning] = store.take_warnings()
    assert "9007199254740993" in warning
    assert [] == store.take_warnings()


def test_int_beyond_int64_becomes_float_with_one_warning(tmp_path: Path) -> None:
    """It is rounded, and run.log hears of it once per column."""
    store = VectorStore(str(tmp_path))
    store.append(block(0, {"x": [1, 2**64], "y": [10**400, 1]}))
    store.append(block(2, {"x": [2**70], "y": [-(10**400)]}))
    store.finish()
    table = tables(tmp_path)[0]
    assert [1.0, 2.0**64, 2.0**70] == column(table, "x")
    assert [float("inf"), 1.0, float("-inf")] == column(table, "y")
    assert 2 == len(store.take_warnings())


def test_text_and_numbers_never_mix(tmp_path: Path) -> None:
    """The odd kind goes to `__text` or `__num`, in one block or in several."""
    table = finished(
        tmp_path,
        block(0, {"n": [1, "odd", 2.5], "t": ["a", 1, "b"]}),
        block(3, {"n": ["again"], "t": [True]}),
    )
    assert [1.0, None, 2.5, None] == column(table, "n")
    assert [None, "odd", None, "again"] == column(table, "n__text")
    assert ["a", None, "b", None] == column(table, "t")
    assert [None, 1, None, 1] == column(table, "t__num")


def test_side_column_avoids_a_metric_of_that_name(tmp_path: Path) -> None:
    """Two metrics never share a column, whichever came first, over a resume too."""
    table = finished(
        tmp_path,
        block(0, {"a__text": ["mine"], "a": [1]}),
        block(1, {"a": ["odd"], "b": [1]}),
        block(2, {"b": ["odd"], "b__text": ["mine"]}),
    )
    assert ["mine", None, None] == column(table, "a__text")
    assert [None, "odd", None] == column(table, "a__text2")
    assert [None, None, "odd"] == column(table, "b__text")
    assert [None, None, "mine"] == column(table, "b__text2")
    expected = {"a__text2": "a", "b__text": "b", "b__text2": "b__text"}
    assert expected == metric_of(tmp_path)
    store = VectorStore(str(tmp_path))
    assert {"a__text": "mine", "a": "odd", "b": "odd", "b__text": "mine"} == store.latest
    store.append(block(3, {"b__text": ["still mine"]}))
    store.finish()
    assert "still mine" == column(tables(tmp_path)[0], "b__text2")[3]


def test_lone_surrogates_are_escaped_with_a_warning(tmp_path: Path) -> None:
    """Text and keys that UTF-8 cannot hold cost nothing but their odd characters."""
    store = VectorStore(str(tmp_path))
    store.append(block(0, {"t\udc80": ["ok", "\ud800x"]}, producer="w\udc80"))
    store.finish()
    table = tables(tmp_path)[0]
    assert ["ok", "\\ud800x"] == column(table, "t\\udc80")
    assert ["w\\udc80"] * 2 == column(table, "_producer")
    assert 2 == store.next_seq("w\udc80")
    assert 1 == len(store.take_warnings())


def test_steps_outside_int64_become_null_with_a_warning(tmp_path: Path) -> None:
    """The row is kept; the step, which the file cannot hold, is in the warning."""
    store = VectorStore(str(tmp_path))
    steps = [2**63, None, 2**63 - 1, -(2**63)]
    store.append(RowBlock("main", 0, steps, [0, 1, 2, 3], ("x",), [[1.0] * 4]))
    store.finish()
    assert [None, None, 2**63 - 1, -(2**63)] == column(tables(tmp_path)[0], "step")
    assert str(2**63) in store.take_warnings()[0]


def test_odd_keys_keep_their_names(tmp_path: Path) -> None:
    """Slashes, dots, spaces, quotes, unicode and case make different columns."""
    keys = ["train/loss", "a.b", "a", "A", "ü ñ", 'q"', "list.element", "x" * 5000, "\n"]
    table = finished(tmp_path, block(0, {key: [0.1, 0.2] for key in keys}))
    assert keys == table.schema.names[4:]


def test_metric_that_first_appears_late_is_null_before(tmp_path: Path) -> None:
    """Earlier rows of all row groups get null."""
    many = 150_000
    store = VectorStore(str(tmp_path))
    store.append(block(0, {"x": [0.5] * many}))
    store.finish()
    store.append(block(many, {"x": [1.5], "late": ["here"]}))
    store.finish()
    table = tables(tmp_path)[0]
    assert [None, "here"] == column(table.slice(many - 1), "late")
    assert many == table.column("late").null_count
    assert many + 1 == store.rows_written
    assert 3 == pq.read_metadata(tmp_path / "vectors.parquet").num_row_groups


def test_five_thousand_columns(tmp_path: Path) -> None:
    """A wide row, and as many rows with a key each, come back; not in quadratic space."""
    store = VectorStore(str(tmp_path))
    store.append(block(0, {f"m{i}": [float(i)] for i in range(5000)}))
    store.flush()
    for first in range(1, 2001, 50):
        for seq in range(first, first + 50):
            store.append(block(seq, {f"m{seq}": [0.5]}))
        store.flush()
    written = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert written < 40_000_000
    store.finish()
    table = tables(tmp_path)[0]
    assert 2001 == table.num_rows
    assert [1.0, 0.5] == table.column("m1").drop_null().to_pylist()
    assert 5004 == table.num_columns


def test_one_tail_file_while_the_schema_stays(tmp_path: Path) -> None:
    """Rows with fewer keys go into the same file; a new column begins another."""
    store = VectorStore(str(tmp_path))
    for seq, columns in enumerate([{"a": [1.0], "b": [1.0]}, {"a": [2.0]}, {"b": [3.0]}]):
        store.append(block(seq, columns))
        store.flush()
    assert ["vectors-0001.arrow"] == [path.name for path in sorted(tmp_path.iterdir())]
    store.append(block(3, {"c": [1.0]}))
    store.flush()
    assert ["vectors-0001.arrow", "vectors-0002.arrow"] == [
        path.name for path in sorted(tmp_path.iterdir())
    ]
    assert {"a": 2.0, "b": 3.0, "c": 1.0} == store.latest
    assert 4 == store.rows_written
    store.finish()


def test_append_is_in_memory_flush_in_the_tail(tmp_path: Path) -> None:
    """Each step says truly what is where."""
    store = VectorStore(str(tmp_path))
    store.append(block(0, {"x": [1.0, 2.0]}))
    assert (2, 0, 0) == (store.pending_rows, store.rows_written, store.next_seq("main"))
    assert [] == seqs(tmp_path)
    store.flush(sync=True)
    assert (0, 2, 2) == (store.pending_rows, store.rows_written, store.next_seq("main"))
    assert [0, 1] == seqs(tmp_path)
    store.finish()
    assert ["vectors.parquet"] == [path.name for path in tmp_path.iterdir()]
    assert 2 == store.rows_written


def test_rows_appended_again_are_left_out(tmp_path: Path) -> None:
    """A successor that replays too much writes nothing twice."""
    store = VectorStore(str(tmp_path))
    store.append(block(0, {"x": [0.0, 1.0, 2.0]}))
    store.append(block(1, {"x": [1.0, 2.0, 3.0]}))
    store.append(block(0, {"x": [0.0]}))
    store.finish()
    assert [0, 1, 2, 3] == seqs(tmp_path)


def test_rows_logged_during_a_consolidation_go_to_a_new_tail(tmp_path: Path) -> None:
    """No row is missing or twice at any step, and the order is that of append."""
    store = VectorStore(str(tmp_path))
    store.append(block(0, {"x": [0.5] * 400_000}))
    store.flush()
    seq = 400_000
    steps = 0
    for _ in store.consolidate():
        store.append(block(seq, {"x": [1], f"new{steps % 3}": ["t"]}))
        store.flush()
        seq += 1
        steps += 1
    assert steps > 0
    assert list(range(seq)) == seqs(tmp_path)
    assert seq == store.rows_written
    store.finish()
    assert list(range(seq)) == seqs(tmp_path)


def test_consolidation_given_up_leaves_no_trace(tmp_path: Path) -> None:
    """Closing the iterator, or finish() over it, drops the work and not a row."""
    store = VectorStore(str(tmp_path))
    store.append(block(0, {"x": [0.5] * 400_000}))
    store.flush()
    steps = store.consolidate()
    next(steps)
    steps.close()
    assert ["vectors-0001.arrow"] == [path.name for path in tmp_path.iterdir()]
    steps = store.consolidate()
    next(steps)
    store.finish()
    assert [] == list(steps)
    assert ["vectors.parquet"] == [path.name for path in tmp_path.iterdir()]
    assert 400_000 == tables(tmp_path)[0].num_rows


def test_finish_without_rows_makes_no_file(tmp_path: Path) -> None:
    """A run without metrics has no vectors.parquet."""
    store = VectorStore(str(tmp_path / "new"))
    store.finish()
    assert [] == list((tmp_path / "new").iterdir())


def test_bytes_per_row(tmp_path: Path) -> None:
    """20,000 rows of two floats take no more than 12 bytes each."""
    import random

    numbers = random.Random(1)
    count = 20_000
    loss = [numbers.random() for _ in range(count)]
    accuracy = [index / count for index in range(count)]
    finished(tmp_path, block(0, {"loss": loss, "accuracy": accuracy}))
    assert (tmp_path / "vectors.parquet").stat().st_size <= 12 * count


KNOWN_TO_ALL = {"PLAIN", "RLE", "RLE_DICTIONARY", "DELTA_BINARY_PACKED"}
"""Encodings that pyarrow, DuckDB, polars, fastparquet and Spark's vectorized reader know."""


def encodings(path: Path) -> set[str]:
    meta = pq.read_metadata(path)
    return {
        encoding
        for group in range(meta.num_row_groups)
        for column in range(meta.num_columns)
        for encoding in meta.row_group(group).column(column).encodings
    }


def test_encodings_are_known_to_every_reader(tmp_path: Path) -> None:
    """For each kind of column, whether its values repeat or not."""
    columns = {
        "noise": [1 / (n + 3) for n in range(100)],
        "again": [0.5] * 100,
        "count": list(range(100)),
        "flag": [True] * 100,
        "text": ["a"] * 100,
    }
    finished(tmp_path, block(0, columns))
    assert encodings(tmp_path / "vectors.parquet") == KNOWN_TO_ALL


@pytest.mark.parametrize("others", [0, 300])
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([n / 7 for n in range(2000)], False, id="all differ"),
        pytest.param([n % 300 / 7 for n in range(2000)], True, id="in circles"),
        pytest.param([n % 1500 / 7 for n in range(2000)], False, id="in a large circle"),
        pytest.param([0.5] * 2000, True, id="one value"),
        pytest.param([None] * 1999 + [0.5], False, id="one value, once"),
        pytest.param([None, 0.5, 0.5] * 700, True, id="absent at first"),
    ],
)
def test_floats_that_repeat_have_a_dictionary(
    tmp_path: Path, values: list[float | None], expected: bool, others: int
) -> None:
    """So have those of a table with many columns, where few values are looked at first."""
    other = [float(n) for n in range(len(values))]
    columns = {"a": values, **{f"other {n}": other for n in range(others)}}
    finished(tmp_path, block(0, columns))
    column = pq.read_metadata(tmp_path / "vectors.parquet").row_group(0).column(4)
    assert "a" == column.path_in_schema
    assert expected == ("RLE_DICTIONARY" in column.encodings)


def test_a_file_in_an_older_encoding_is_converted(tmp_path: Path) -> None:
    """Before release 0.1.0, floats were in BYTE_STREAM_SPLIT, which Spark refuses."""
    path = tmp_path / "vectors.parquet"
    finished(tmp_path, block(0, {"x": [1 / (n + 3) for n in range(100)]}))
    table = pq.read_table(path, partitioning=None)
    split = {"x": "BYTE_STREAM_SPLIT"}
    pq.write_table(table, path, use_dictionary=["_producer"], column_encoding=split)
    assert "BYTE_STREAM_SPLIT" in encodings(path)
    finished(tmp_path, block(100, {"x": [0.1]}))
    assert encodings(path) <= KNOWN_TO_ALL
    assert [*table["x"].to_pylist(), 0.1] == [row[4]["x"] for row in rows(tmp_path)]


def test_numpy_and_pandas_are_not_needed(tmp_path: Path) -> None:
    """The package works where neither is installed."""
    program = (
        "import sys\n"
        "class No:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('numpy', 'pandas', 'polars'): raise ModuleNotFoundError(name=name)\n"
        "sys.meta_path.insert(0, No())\n"
        "from expman.storage.vectors import RowBlock, VectorStore\n"
        "for first in (0, 2):\n"
        "    store = VectorStore(sys.argv[1])\n"
        "    store.append(RowBlock('main', first, [1, None], [1, 2], ('x', 't'),\n"
        "        [[1, 0.5], ['a', 2]]))\n"
        "    store.finish()\n"
        "assert 4 == store.rows_written\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=250)
    assert [0, 1, 2, 3] == seqs(tmp_path)


def test_producers_are_kept_apart(tmp_path: Path) -> None:
    """Each has its own seqs; the order of the file is that of append."""
    store = VectorStore(str(tmp_path))
    store.append(block(0, {"x": [1.0]}, "main"))
    store.append(block(0, {"x": [2.0]}, "worker-0"))
    store.append(block(1, {"x": [3.0]}, "main"))
    store.finish()
    expected = [("main", 0), ("worker-0", 0), ("main", 1)]
    assert expected == [row[:2] for row in rows(tmp_path)]
    assert (2, 1, 0) == tuple(map(store.next_seq, ("main", "worker-0", "worker-1")))


def test_live_rewrites_keep_what_is_there_as_a_prefix(tmp_path: Path) -> None:
    """A reader with the old footer finds its row groups unchanged in the new file."""
    store = VectorStore(str(tmp_path))
    path = tmp_path / "vectors.parquet"
    before = b""
    for turn in range(8):
        store.append(block(100 * turn, {"x": [turn + 0.25 * i for i in range(100)]}))
        store.flush()
        for _ in store.consolidate():
            pass
        data = path.read_bytes()
        footer_bytes = int.from_bytes(before[-8:-4], "little") + 8 if before else 0
        assert data.startswith(before[: len(before) - footer_bytes])
        before = data
    assert 8 == pq.read_metadata(path).num_row_groups
    store.finish()
    assert 1 == pq.read_metadata(path).num_row_groups
    assert list(range(800)) == seqs(tmp_path)


def test_row_groups_stay_few_while_a_run_is_live(tmp_path: Path) -> None:
    """Small row groups are joined from time to time."""
    store = VectorStore(str(tmp_path))
    for turn in range(60):
        store.append(block(turn, {"x": [float(turn)]}))
        store.flush()
        for _ in store.consolidate():
            pass
        assert pq.read_metadata(tmp_path / "vectors.parquet").num_row_groups <= 18
    assert list(range(60)) == seqs(tmp_path)


class Unstorable:
    """A value that Arrow cannot hold, and that has no text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("bad", [1, 700])
def test_a_value_that_no_file_can_hold_costs_itself(tmp_path: Path, bad: int) -> None:
    """The other values of its row are there, and all other rows."""
    store = VectorStore(str(tmp_path))
    values: list[Any] = [float(n) for n in range(1000)]
    values[bad] = Unstorable()
    numbers = list(range(1000))
    columns = [numbers, values]
    store.append(RowBlock("main", 0, numbers, [10**18] * 1000, ("n", "v"), columns))
    store.flush(sync=True)
    store.finish()
    table = pq.read_table(tmp_path / "vectors.parquet")
    assert numbers == table["n"].to_pylist()
    expected = [None if n == bad else float(n) for n in numbers]
    assert expected == table["v"].to_pylist()
    assert any("a value of 'v' was left out" in warning for warning in store.take_warnings())


def test_a_failure_that_is_no_rows_costs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever appending fails with: no row is taken for its reason, and all are there later."""
    store = VectorStore(str(tmp_path))
    numbers = list(range(10))
    store.append(RowBlock("main", 0, numbers, [10**18] * 10, ("n",), [numbers]))

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(TailFile, "append", fail)
        with pytest.raises(ZeroDivisionError):
            store.flush()
    store.finish()
    assert numbers == pq.read_table(tmp_path / "vectors.parquet")["n"].to_pylist()
    assert [] == store.take_warnings()
