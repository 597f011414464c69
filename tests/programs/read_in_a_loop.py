"""Reads a run's vectors.parquet again and again until a line comes on standard input.

read_in_a_loop.py READER PATH VERSIONS: prints `enough` when it has seen the file grow VERSIONS
times, and at the end the number of rows in the file. An error, fewer rows than before, or rows
that are not the first ones in order, end it with a traceback.

Each reading opens the path once. Readers that open it a second time, for the data, may meet the
next file there (docs/format.md).
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable
from typing import BinaryIO


def with_pyarrow(file: BinaryIO) -> list[int]:
    import pyarrow.parquet as pq

    return pq.read_table(file)["_seq"].to_pylist()


def with_pandas(file: BinaryIO) -> list[int]:
    import pandas as pd

    return pd.read_parquet(file)["_seq"].tolist()


def with_polars(file: BinaryIO) -> list[int]:
    import polars as pl

    return pl.read_parquet(file)["_seq"].to_list()


def with_duckdb(file: BinaryIO) -> list[int]:
    import duckdb

    with duckdb.connect() as connection:
        query = "select * from read_parquet(?)"
        found = connection.execute(query, [f"/proc/self/fd/{file.fileno()}"]).fetchnumpy()
        return found["_seq"].tolist()


READERS: dict[str, Callable[[BinaryIO], list[int]]] = {
    "duckdb": with_duckdb,
    "pandas": with_pandas,
    "polars": with_polars,
    "pyarrow": with_pyarrow,
}


def main(reader: str, path: str, versions: int) -> None:
    while not os.path.exists(path):
        time.sleep(0.005)
    rows, seen = 0, 0
    while True:
        last = bool(select.select([sys.stdin], [], [], 0.002)[0])
        with open(path, "rb") as file:
            seqs = READERS[reader](file)
        assert len(seqs) >= rows, f"{rows} rows, then {len(seqs)}"
        assert seqs == list(range(len(seqs))), "rows are missing or out of order"
        if len(seqs) > rows:
            rows, seen = len(seqs), seen + 1
            if seen == versions:
                print("enough")
        if last:
            break
    print(rows)


main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
