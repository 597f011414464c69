"""Other people's readers find in a run's files what was logged, live and finished."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from interop.live import finish, start, stopped
from process.runs import writer_of
from programs.interop_rows import METRICS, PARAMS, ROWS, expected_column

FIXED = ["step", "timestamp", "_producer", "_seq"]

Table = dict[str, list[Any]]


def with_pyarrow(path: Path) -> Table:
    return pq.read_table(path, partitioning=None).to_pydict()


def with_duckdb(path: Path) -> Table:
    import duckdb

    with duckdb.connect() as connection:
        # A value of type "timestamp with time zone" needs a further package in Python.
        query = "select * replace (epoch_us(timestamp) as timestamp) from read_parquet(?)"
        found = connection.execute(query, [str(path)])
        names = [column[0] for column in found.description]
        return dict(zip(names, map(list, zip(*found.fetchall(), strict=True)), strict=True))


def with_polars(path: Path) -> Table:
    import polars as pl

    return pl.read_parquet(path).to_dict(as_series=False)


def with_pandas(path: Path) -> Table:
    import pandas as pd

    frame = pd.read_parquet(path, dtype_backend="pyarrow")
    return pa.Table.from_pandas(frame).to_pydict()


READERS = [
    pytest.param(with_pyarrow, id="pyarrow"),
    pytest.param(with_duckdb, id="duckdb", marks=pytest.mark.interop),
    pytest.param(with_polars, id="polars", marks=pytest.mark.interop),
    pytest.param(with_pandas, id="pandas", marks=pytest.mark.interop),
]


def same(left: Any, right: Any) -> bool:
    """Equal in type and value; NaN is NaN, null is no NaN, and -0.0 is not 0.0."""
    if isinstance(left, float) and isinstance(right, float):
        if math.isnan(left) or math.isnan(right):
            return math.isnan(left) and math.isnan(right)
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    return type(left) is type(right) and bool(left == right)


def check_table(table: Table) -> None:
    """The table holds the rows: names, order, types and values."""
    assert FIXED + METRICS == list(table)
    numbers = list(range(len(ROWS)))
    assert (numbers, numbers) == (table["step"], table["_seq"])
    assert ["main"] * len(ROWS) == table["_producer"]
    for metric in METRICS:
        expected = expected_column(metric)
        assert all(map(same, expected, table[metric])), f"{expected} != {table[metric]}"


@pytest.mark.parametrize("read", READERS)
def test_reader_finds_the_values(program, run_base: Path, read: Callable[[Path], Table]) -> None:
    """Every value is read as logged, from the file of a live run and of a finished one."""
    trainer, run_dir = start(program, run_base)
    check_table(read(run_dir / "vectors.parquet"))
    finish(trainer)
    check_table(read(run_dir / "vectors.parquet"))


@pytest.mark.interop
def test_polars_reads_the_live_tail(program, run_base: Path) -> None:
    """The rows that are not in vectors.parquet yet are in streams that polars opens."""
    import polars as pl

    trainer, run_dir = start(program, run_base)
    trainer.send_line("more")
    trainer.read_line()
    with stopped(writer_of(trainer.pid)):
        paths = list(run_dir.glob("vectors-*.arrow"))
        tails = [pl.read_ipc_stream(path.read_bytes()) for path in paths]
        parquet = pl.read_parquet(run_dir / "vectors.parquet")
    seqs = {seq for frame in [parquet, *tails] for seq in frame["_seq"]}
    assert set(range(2 * len(ROWS))) == seqs
    finish(trainer)


@pytest.mark.parametrize("loader", ["SafeLoader", "CSafeLoader"])
def test_yaml_is_read_as_logged(program, run_base: Path, loader: str) -> None:
    """Both parsers of PyYAML read parameters with their types."""
    trainer, run_dir = start(program, run_base)
    finish(trainer)
    found = yaml.load((run_dir / "config.yaml").read_text(), Loader=getattr(yaml, loader))
    assert PARAMS == found
