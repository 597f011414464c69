"""Very many metrics, few in each row: what it costs follows from the values, not from the cells."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from expman.storage.vectors import RowBlock, VectorStore

NAMES = 400


def block(seq: int, name: str, value: object) -> RowBlock:
    return RowBlock("main", seq, [seq], [seq], (name,), [[value]])


def fill(store: VectorStore, rounds: int, start: int = 0) -> int:
    """Rows of one metric each, in turns; floats, integers, texts and booleans."""
    seq = start
    for _ in range(rounds):
        for number in range(NAMES):
            value = [seq / 2, seq, f"t{seq}", seq % 2 == 0][number % 4]
            store.append(block(seq, f"m{number}", value))
            seq += 1
        store.flush()
    return seq


def check(path: Path, rows: int) -> None:
    table = pq.ParquetFile(path / "vectors.parquet").read()
    assert list(range(rows)) == table["_seq"].to_pylist()
    for number in range(0, NAMES, 37):
        got = {n: v for n, v in enumerate(table[f"m{number}"].to_pylist()) if v is not None}
        numbers = range(number, rows, NAMES)
        wanted = {n: [n / 2, n, f"t{n}", n % 2 == 0][number % 4] for n in numbers}
        assert wanted == got


def test_metrics_in_turns(tmp_path: Path) -> None:
    """All values are there, in few row groups; the tail is compressed and stays to the end."""
    store = VectorStore(str(tmp_path))
    rows = fill(store, 10)
    cells = rows * NAMES
    assert sum(path.stat().st_size for path in tmp_path.glob("*.arrow")) < cells
    for _ in store.consolidate():
        pass
    assert not (tmp_path / "vectors.parquet").exists()
    store.finish()
    check(tmp_path, rows)
    assert pq.ParquetFile(tmp_path / "vectors.parquet").num_row_groups <= 2


def test_fresh_names(tmp_path: Path) -> None:
    """A name of its own for each row: tail files stay narrow, and one row group is made."""
    store = VectorStore(str(tmp_path))
    for seq in range(2000):
        store.append(block(seq, f"loss_{seq}", float(seq)))
    store.flush()
    assert sum(path.stat().st_size for path in tmp_path.glob("*.arrow")) < 8 * 2000 * 2000 / 4
    store.finish()
    file = pq.ParquetFile(tmp_path / "vectors.parquet")
    assert (1, 2000, 2004) == (
        file.num_row_groups,
        file.metadata.num_rows,
        len(file.schema_arrow),
    )
    assert [float(seq) for seq in range(0, 2000, 200)] == [
        file.read(columns=[f"loss_{seq}"])[0][seq].as_py() for seq in range(0, 2000, 200)
    ]


@pytest.mark.parametrize("narrow_first", [False, True])
def test_resumed(tmp_path: Path, narrow_first: bool) -> None:
    """A successor reads compressed tails, and a vectors.parquet of fewer metrics."""
    first = VectorStore(str(tmp_path))
    if narrow_first:
        first.append(RowBlock("other", 0, [0], [0], ("m0",), [[0.5]]))
        first.flush()
        for _ in first.consolidate():
            pass
        assert (tmp_path / "vectors.parquet").exists()
    rows = fill(first, 3)
    first.close()
    second = VectorStore(str(tmp_path))
    assert rows == second.next_seq("main")
    rows = fill(second, 3, rows)
    second.finish()
    if narrow_first:
        table = pq.read_table(tmp_path / "vectors.parquet", partitioning=None)
        assert rows + 1 == table.num_rows
        assert 0.5 == table["m0"][0].as_py()
    else:
        check(tmp_path, rows)
