"""Threads of one process log at once, and another process reads: all of it, whole, in order."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from conftest import StartProgram
from lanes import DEADLINE_S, fresh_address, poll, rows_of

from expman.transport import records as wire
from expman.transport.address import lane_numbers
from expman.transport.consumer import LaneConsumer

THREADS = 8
ROWS = 4_000


@pytest.mark.parametrize("interval_s", [0.005, 1e-6], ids=["usual", "hectic"])
def test_rows_of_many_threads(program: StartProgram, interval_s: float) -> None:
    """No row is lost, torn, or out of its thread's order, however often threads change."""
    with fresh_address() as address:
        env = {"PYTHONPATH": str(Path(__file__).parents[1])}
        trainer = program("log_from_threads.py", address, ROWS, interval_s, env=env)
        records: list[wire.Record] = []
        deadline = time.monotonic() + DEADLINE_S
        consumer = None
        while consumer is None:
            assert time.monotonic() < deadline, trainer.stderr
            try:
                consumer = LaneConsumer(address, lane_numbers(address).pop())
            except (FileNotFoundError, KeyError):
                time.sleep(0.001)
        while not consumer.at_end():
            batch = poll(consumer)
            assert [] == batch.problems
            records += batch.records
            consumer.release()
            assert time.monotonic() < deadline, trainer.stderr
        trainer.expect_line("closed")

    numbers = [0] * THREADS
    for step, row in rows_of(records):
        thread = row["thread"]
        number = numbers[thread]
        expected = {"thread": thread, "number": number, "product": number * 1.5 + thread}
        if number % 5 == 4:
            expected[f"extra {thread}"] = float(-number)
        assert (number * THREADS + thread, expected) == (step, row)
        numbers[thread] += 1
    assert [ROWS] * THREADS == numbers
    assert consumer.rows == ROWS * THREADS
