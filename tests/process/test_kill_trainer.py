"""A trainer that is killed loses no row that it had logged."""

from __future__ import annotations

import os
import random
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from process.runs import only_run, read_rows, segments_of, wait_for_end, wait_until, writer_of

SEED = 20_260_131
REPETITIONS = 15
SOAK_REPETITIONS = int(os.environ.get("EXPMAN_TEST_KILLS", "1000"))
AT_ONCE = 4
MOST_ROWS = 60_000
LONGEST_S = 0.25


def check_rows(table: pa.Table, returned: int) -> None:
    """Each row whose call returned is there once, in order; one more may have been published."""
    assert table.num_rows in (returned, returned + 1)
    n = np.arange(table.num_rows)
    for column in ("_seq", "step", "n"):
        assert np.array_equal(n, table[column].to_numpy()), column
    assert {"main"} == set(table["_producer"].unique().to_pylist())
    if table.num_rows:
        expected = np.where(n % 7 == 0, n // 7, np.nan)
        assert np.array_equal(expected, table["seventh"].to_numpy(), equal_nan=True)
    if table.num_rows > 1:
        expected = np.where(n % 7 != 0, n / 2, np.nan)
        assert np.array_equal(expected, table["half"].to_numpy(), equal_nan=True)


def kill_one(program, directory: Path, seed: str) -> int:  # type: ignore[no-untyped-def]
    """Runs a trainer, has it killed at a moment that the seed gives, and checks what it left."""
    chance = random.Random(seed)
    counter = directory / "counter"
    counter.parent.mkdir(parents=True)
    counter.write_bytes(bytes(8))
    base = directory / "experiments"
    kills_itself = chance.random() < 0.5
    own_end = round(MOST_ROWS ** chance.random()) if kills_itself else 0

    def returned() -> int:
        return int(struct.unpack("=Q", counter.read_bytes())[0])

    trainer = program("log_until_killed.py", base, "run", counter, own_end)
    if not kills_itself:
        wait_until(returned, "the first row")
        writer = writer_of(trainer.pid)
        time.sleep(chance.random() * LONGEST_S)
        trainer.send_signal(9)
    assert -9 == trainer.wait(), trainer.stderr

    run_dir = only_run(base)
    run = wait_for_end(run_dir)
    assert "CRASHED" == run["status"], run
    assert "ended without closing" in run["reason"]
    table = read_rows(run_dir)
    check_rows(table, returned())
    assert (table.num_rows, table.num_rows) == (run["rows_logged"], run["rows_written"])
    assert 0 == run["writer_restarts"]
    if not kills_itself:
        wait_until(lambda: not segments_of(writer), "the release of the shared memory")
    return int(table.num_rows)


@pytest.mark.parametrize("number", range(REPETITIONS))
def test_each_returned_row_is_there_once(program, tmp_path: Path, number: int) -> None:
    """Killed at a random moment: every row whose call returned is in the file, by value and seq."""
    assert kill_one(program, tmp_path / "one", f"{SEED}-{number}") > 0


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_thousand_kills(program, tmp_path: Path) -> None:
    """The same, a thousand times, four trainers at once."""
    seeds = [f"{SEED}-soak-{number}" for number in range(SOAK_REPETITIONS)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        rows = list(pool.map(lambda seed: kill_one(program, tmp_path / seed, seed), seeds))
    print(f"{len(rows)} kills, {sum(rows)} rows, {min(rows)} to {max(rows)} in a run")
    assert all(rows)
