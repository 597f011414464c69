"""Reads a run's vectors.parquet again and again until a line comes on standard input.

read_in_a_loop.py READER PATH VERSIONS HOW: prints `enough` when it has seen the file grow VERSIONS
times, and at the end the number of rows in the file. An error, fewer rows than before, or rows
that are not the first ones in order, end it with a traceback.

HOW is `file`: each reading opens the path once; or `path`: the reader gets the path, and may open
it a second time for the data, when the next file is there (docs/reference/files.md).
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable
from typing import BinaryIO


def with_pyarrow(file: BinaryIO | str) -> list[int]:
    import pyarrow.parquet as pq

    return pq.read_table(file)["_seq"].to_pylist()


def with_pandas(file: BinaryIO | str) -> list[int]:
    import pandas as pd

    return pd.read_parquet(file)["_seq"].tolist()


def with_polars(file: BinaryIO | str) -> list[int]:
    import polars as pl

    return pl.read_parquet(file)["_seq"].to_list()


def with_duckdb(file: BinaryIO | str) -> list[int]:
    import duckdb

    with duckdb.connect() as connection:
        query = "select * from read_parquet(?)"
        path = file if isinstance(file, str) else f"/proc/self/fd/{file.fileno()}"
        found = connection.execute(query, [path]).fetchnumpy()
        return found["_seq"].tolist()


READERS: dict[str, Callable[[BinaryIO | str], list[int]]] = {
    "duckdb": with_duckdb,
    "pandas": with_pandas,
    "polars": with_polars,
    "pyarrow": with_pyarrow,
}


def read(reader: str, path: str, how: str) -> list[int]:
    if how == "path":
        return READERS[reader](path)
    with open(path, "rb") as file:
        return READERS[reader](file)


def main(reader: str, path: str, versions: int, how: str) -> None:
    while not os.path.exists(path):
        time.sleep(0.005)
    rows, seen = 0, 0
    while True:
        last = bool(select.select([sys.stdin], [], [], 0.002)[0])
        seqs = read(reader, path, how)
        assert len(seqs) >= rows, f"{rows} rows, then {len(seqs)}"
        assert seqs == list(range(len(seqs))), "rows are missing or out of order"
        if len(seqs) > rows:
            rows, seen = len(seqs), seen + 1
            if seen == versions:
                print("enough")
        if last:
            break
    print(rows, flush=True)
    os._exit(0)  # a thread of pyarrow's may abort the interpreter's own tear-down


main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
