"""A trainer on a line, and what its run must look like in the raw files."""

from __future__ import annotations

import json
import os
import subprocess
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from process.runs import run_yaml, wait_for_end

TIMEOUT_S = 0.3


def fill(ballast: Path) -> None:
    """Takes all the room that is left."""
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        deque(file.write(bytes(4096)) for _ in range(8192))


class Obeying:
    """tests/programs/obey.py, seen from the test."""

    def __init__(self, program, base: Path, *settings: str, **options: Any) -> None:  # type: ignore[no-untyped-def]
        self.base = base
        self.process = program("obey.py", base, *settings, **options)

    def __call__(self, line: str) -> dict[str, Any]:
        """Sends a line and waits for the answer, which must tell of no error."""
        answer = self.try_(line)
        assert answer["error"] is None, answer
        return answer

    def try_(self, line: str) -> dict[str, Any]:
        """Sends a line and waits for the answer."""
        self.send(line)
        return self.answer()

    def send(self, line: str) -> None:
        self.process.send_line(line)

    def answer(self) -> dict[str, Any]:
        found = json.loads(self.process.read_line())
        assert isinstance(found, dict)
        return found

    def open(self, name: str = "run") -> Path:
        self(f"open {name}")
        return self.base / "faults" / name


def read_raw(run_dir: Path) -> pa.Table:
    """Every row of the raw files of a run that has ended."""
    assert [] == sorted(run_dir.glob("vectors-*.arrow"))
    return pq.ParquetFile(run_dir / "vectors.parquet").read()


def check_rows(run_dir: Path, count: int) -> None:
    """Rows 0 to `count` of obey.py are there once, in order, by value and by `_seq`."""
    table = read_raw(run_dir)
    check_values(table, np.arange(count))


def check_values(table: pa.Table, numbers: np.ndarray[Any, Any]) -> None:
    """The rows of obey.py with these numbers are in the table, in order."""
    for column in ("n", "step", "_seq"):
        found = table[column].to_numpy()
        assert np.array_equal(numbers, found), (column, len(numbers), len(found))
    assert np.array_equal(numbers / 2, table["half"].to_numpy())
    assert {"main"} == set(table["_producer"].unique().to_pylist())


def check_finished(run_dir: Path, count: int, status: str = "FINISHED") -> dict[str, Any]:
    """The run ends with this status and all of these rows; gives its run.yaml."""
    run = wait_for_end(run_dir)
    assert status == run["status"], run
    check_rows(run_dir, count)
    assert (count, count, 0, 0) == tuple(
        run[key] for key in ("rows_logged", "rows_written", "rows_dropped", "rows_missing")
    )
    return run


def check_more(run_dir: Path, numbers: list[int]) -> None:
    """What `more` logs when it has reached these numbers is in the files."""
    lines = (run_dir / "run.log").read_text().splitlines()
    messages = [line.rpartition("] ")[2] for line in lines if "[INFO] message" in line]
    assert [f"message {n}" for n in numbers] == messages
    assert {"logged": numbers[-1]} == run_yaml(run_dir)["scalars"]
    config = (run_dir / "config.yaml").read_text().split()
    assert [word for n in numbers for word in (f"p{n}:", str(n))] == config
    assert [str(n) for n in numbers] == [
        (run_dir / "artifacts" / f"a{n}").read_text() for n in numbers
    ]


@contextmanager
def mounted(*arguments: object) -> Iterator[None]:
    """Has something mounted; the last argument says where."""
    subprocess.run(["mount", *map(str, arguments)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", os.fspath(arguments[-1])], check=True)  # type: ignore[call-overload]
