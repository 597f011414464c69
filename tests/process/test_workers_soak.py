"""Random kills of workers, owners and shared writers for as long as one likes.

EXPMAN_TEST_WORKERS_MINUTES=15 scripts/test -m soak tests/process/test_workers_soak.py -s
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Program
from process.runs import is_running, read_rows, run_yaml, wait_until, writers_of
from process.workers import check_producers, check_worker_rows
from programs.counters import Counters

MINUTES = float(os.environ.get("EXPMAN_TEST_WORKERS_MINUTES", "3"))
SEED = int(os.environ.get("EXPMAN_TEST_WORKERS_SEED", "0")) or int(time.time())
AT_ONCE = 3
LONGEST_S = 4.0
PAUSE_S = 0.02

pytestmark = [pytest.mark.soak, pytest.mark.timeout(int(MINUTES * 60) + 600)]


def segments_at(name: str) -> list[str]:
    return sorted(path.name for path in Path("/dev/shm").glob(f"{name}*"))


class Job:
    """One owner with its workers, and what is known of their calls."""

    def __init__(self, program: Any, directory: Path, workers: int, env: dict[str, str]) -> None:
        directory.mkdir(parents=True)
        self._program = program
        self.recovered = False
        self.workers = workers
        self.killed: set[int] = set()
        self.owner: Program = program(
            "log_in_workers.py", directory, directory / "counters", workers, 2, PAUSE_S, env=env
        )
        self.run_dir = Path(self.owner.read_line())
        self.pids = [int(pid) for pid in self.owner.read_line().split()]
        self.counters = Counters(directory / "counters")
        self.ends_at = time.monotonic() + random.random() * LONGEST_S

    def kill_a_worker(self, chance: random.Random) -> bool:
        """Kills one that lives, if there is one."""
        alive = [n for n in range(self.workers) if n not in self.killed]
        if not alive:
            return False
        number = chance.choice(alive)
        self.killed.add(number)
        os.kill(self.pids[number], signal.SIGKILL)
        return True

    def end(self, chance: random.Random) -> str:
        """Closes the run, or kills its owner; checks every row. Gives the run's status."""
        crash = chance.random() < 0.5
        if crash:
            self.owner.kill()
        else:
            self.owner.send_line()
            self.owner.expect_line("closed", 60)
            for number in range(self.workers):
                self.owner.expect_line("-9" if number in self.killed else "0", 60)
            self.owner.succeed()
        run = self._wait_for_end(60)
        wait_until(lambda: not any(map(is_running, self.pids)), "the end of the workers", 60)
        assert ("CRASHED" if crash else "FINISHED") == run["status"]
        self._check(crash)
        return str(run["status"])

    def _wait_for_end(self, timeout_s: float) -> dict[str, Any]:
        """Waits for the final status; if nobody is left to write it, recovers the run."""
        deadline = time.monotonic() + timeout_s
        while (run := run_yaml(self.run_dir))["status"] == "RUNNING":
            assert time.monotonic() < deadline, self.run_dir
            pause_until = time.monotonic() + 3
            while time.monotonic() < pause_until and run_yaml(self.run_dir) == run:
                time.sleep(0.02)
            if run_yaml(self.run_dir) == run:
                base = self.run_dir.parents[1]
                self._program(["-m", "expman.writer", "recover", str(base)]).succeed(60)
                self.recovered = True
        return run

    def _check(self, crash: bool) -> None:
        run, table = run_yaml(self.run_dir), read_rows(self.run_dir)
        counts = self.counters.values()
        assert (0, 0) == (run["rows_missing"], run["rows_dropped"]), run
        assert table.num_rows == run["rows_written"], run
        check_producers(self.run_dir)
        check_worker_rows(self.run_dir, counts[1:], 2, slack=1)
        # Without a kill there is no call in mid-air: then it must be exact.
        exact = [n for n in range(self.workers) if n not in self.killed]
        for number in exact:
            first = 1 + 2 * number
            in_file = [
                len(table.filter((table["worker"].to_numpy() == number)
                                 & (table["thread"].to_numpy() == thread)))
                for thread in range(2)
            ]  # fmt: skip
            assert counts[first : first + 2] == in_file
        own = int((table["worker"].to_numpy() == -1).sum())
        assert own - counts[0] in ((0, 1) if crash else (0,))


def test_random_kills(program, shared_writer, tmp_path: Path) -> None:
    """Whoever is killed, each returned row is there once, and each status is true."""
    chance = random.Random(SEED)
    random.seed(SEED)
    print(f"\nseed {SEED}, {MINUTES:g} minutes")
    end = time.monotonic() + MINUTES * 60
    writer = shared_writer()
    jobs: list[Job] = []
    killed: list[str] = []
    count = rows = 0
    did: dict[str, int] = dict.fromkeys(
        (
            "worker killed",
            "shared writer killed",
            "own writer killed",
            "CRASHED",
            "FINISHED",
            "recovered",
        ),
        0,
    )
    while jobs or time.monotonic() < end:
        while len(jobs) < AT_ONCE and time.monotonic() < end:
            env = writer.env if chance.random() < 0.7 else {}
            jobs.append(Job(program, tmp_path / str(count), chance.randint(1, 6), env))
            count += 1
        time.sleep(chance.random() * 0.5)
        job = chance.choice(jobs)
        match chance.choice(["worker", "worker", "shared", "own", "nothing"]):
            case "worker":
                did["worker killed"] += job.kill_a_worker(chance)
            case "shared" if chance.random() < 0.7:
                writer.kill()
                killed.append(writer.address)
                did["shared writer killed"] += 1
                writer = shared_writer()
            case "own":
                for found in writers_of(job.owner.pid):
                    os.kill(found.pid, signal.SIGKILL)
                    did["own writer killed"] += 1
        for job in [job for job in jobs if time.monotonic() > job.ends_at]:
            did[job.end(chance)] += 1
            did["recovered"] += job.recovered
            rows += read_rows(job.run_dir).num_rows
            jobs.remove(job)
    print(f"{count} runs, {rows} rows, {did}")
    for address in killed:
        # Without a run at its death, the address itself is left for recovery to remove.
        name = f"expman-{address.split(':')[1]}"
        wait_until(lambda name=name: segments_at(name) in ([], [name]), "the end of its lanes")
        Path("/dev/shm", name).unlink(missing_ok=True)
    assert did["FINISHED"] + did["CRASHED"] == count
