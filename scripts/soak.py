"""Loops random faults for a given time, and fails on the first lost, doubled or torn row.

Each round starts tests/programs/log_for_ledger.py with random settings, does something bad to it,
and compares the files, read by pyarrow alone, with what it had logged. A round depends on the seed
and its number only (and on the machine's own timing): --round N repeats one.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from leaks import processes  # noqa: E402
from process.ledger import Ledger  # noqa: E402
from process.runs import (  # noqa: E402
    kill_writers,
    segments_of,
    wait_for_end,
    wait_until,
    writer_of,
    writers_of,
)

FAULTS = (
    "trainer killed",
    "writer killed",
    "writer killed at named points",
    "writer stopped",
    "worker killed",
    "both killed",
    "trainer killed, writer killed at named points",
    "names removed",
    "names removed, trainer killed",
    "descriptors short",
    "directory renamed",
    *(["fsync fails"] if shutil.which("strace") else []),
)
POINTS = sorted(
    {
        point
        for path in (ROOT / "expman").rglob("*.py")
        for found in re.findall(r'hit\("([^"]+)"\)|, "([a-z]+-half-[a-z]+)"\)', path.read_text())
        for point in found
        if point
    }
)
DEADLINE_S = 120.0
LONGEST_S = 1.5


class Round:
    """One trainer and what happens to it."""

    def __init__(self, seed: str, directory: Path) -> None:
        self.chance = chance = random.Random(seed)
        self.directory = directory
        self.fault = chance.choice(FAULTS)
        self.base = directory / "experiments"
        self.more = directory / "more"
        self.more.touch()
        self.ledger = Ledger(directory / "ledger")
        self.settings: dict[str, Any] = {
            "gone": str(self.more),
            "after_s": round(chance.random() * 0.2, 3),
            "pause_every": chance.choice([0, 10, 50, 50, 500]),
            "overflow": chance.choice(["block", "block", "drop"]),
            "max_buffer_bytes": chance.choice([2**18, 2**20, 2**26]),
            "others": chance.random() < 0.7,
            # Where the run's directory is away, no snapshot can be put into it.
            "files_stay": self.fault == "directory renamed",
            "worker": self.fault == "worker killed" or chance.random() < 0.3,
            "worker_rows": 20_000 if self.fault == "worker killed" else 2000,
        }
        self.points: list[str] = []
        if "named points" in self.fault:
            for number in range(chance.randint(1, 4)):
                mark = directory / f"point-{number}"
                mark.touch()
                self.points.append(f"{chance.choice(POINTS)}=kill@{chance.randint(1, 5)}:{mark}")
        self.tried: collections.Counter[str] = collections.Counter()
        self.summary: dict[str, Any] = {}

    def __str__(self) -> str:
        settings = {k: v for k, v in self.settings.items() if k != "gone"}
        points = [point.partition(":")[0] for point in self.points]
        return f"{self.fault} {points or ''} {settings}"

    def run(self) -> None:
        """Does it, and checks what is left."""
        environment = {**os.environ, "EXPMAN_FAILPOINTS": ",".join(self.points)}
        options = self.ledger.options(self.base, **self.settings)
        command = [sys.executable, str(ROOT / "tests/programs/log_for_ledger.py"), options]
        with (self.directory / "stderr").open("wb") as errors:
            self.trainer = subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        try:
            assert self.trainer.stdout is not None
            run_dir = Path(self.trainer.stdout.readline().strip())
            self.writer = writer_of(self.trainer.pid)
            wait_until(lambda: self.ledger.rows, "the first row", DEADLINE_S)
            status = self._do(run_dir)
            wait_until(lambda: not segments_of(self.writer), "release of memory", DEADLINE_S)
            run = self.ledger.check(
                run_dir,
                status,
                killed=status == "CRASHED",
                worker_killed=status == "CRASHED" or self.fault == "worker killed",
            )
            self.summary = {"logged": run["rows_logged"], "dropped": run["rows_dropped"]}
        finally:
            self.trainer.kill()
            self.trainer.wait()
            self.trainer.stdout.close()  # type: ignore[union-attr]

    def _do(self, run_dir: Path) -> str:
        """Lets it happen; the status that the run must have."""
        match self.fault:
            case "writer killed":
                self._repeat(signal.SIGKILL)
            case "writer stopped":
                self._repeat(signal.SIGSTOP, signal.SIGCONT)
            case "worker killed":
                self._kill_worker()
            case "writer killed at named points":
                self._pause()
            case "both killed":
                self._kill_both()
                return "CRASHED"
            case "names removed":
                self._remove_names(run_dir)
                # A worker's memory goes with its last process: the writer's, once it has ended.
                if self.chance.random() < 0.5 and not self.settings["worker"]:
                    self._repeat(signal.SIGKILL)
            case "descriptors short":
                self._take_descriptors()
            case "directory renamed":
                self._rename(run_dir)
            case "fsync fails":
                self._fail_fsync()
            case _:
                if self.fault.startswith("names"):
                    self._remove_names(run_dir)
                self._pause()
                self.trainer.kill()
                self.tried["SIGKILL to a trainer"] += 1
                self._end_of_killed(run_dir)
                return "CRASHED"
        self.more.unlink()
        self.trainer.wait(DEADLINE_S)
        self._count_points()
        errors = (self.directory / "stderr").read_text()
        assert self.trainer.returncode == 0, errors
        assert "Traceback" not in errors, errors
        return "FINISHED"

    def _pause(self) -> None:
        time.sleep(self.chance.random() * LONGEST_S)

    def _count_points(self) -> None:
        for point in self.points:
            name, _, path = point.partition(":")
            if not os.path.exists(path):
                self.tried[f"SIGKILL at {name.partition('=')[0]}"] += 1

    def _repeat(self, *signals: signal.Signals) -> None:
        for _ in range(self.chance.randint(1, 5)):
            self._pause()
            for writer in writers_of(self.trainer.pid)[-1:]:
                for number in signals:
                    os.kill(writer.pid, number)
                    self.tried[f"{number.name} to a writer"] += 1
                    if number is not signals[-1]:
                        self._pause()

    def _remove_names(self, run_dir: Path) -> None:
        """As systemd-logind does with RemoveIPC=yes, once the writer has the memory, too."""
        wait_until((run_dir / "run.log").exists, "the writer", DEADLINE_S)
        self._pause()
        for name in segments_of(self.writer):
            Path("/dev/shm", name).unlink(missing_ok=True)
        self.tried["names removed"] += 1

    def _take_descriptors(self) -> None:
        """Neither more descriptors than it has, for a while: the writer, or the trainer."""
        for _ in range(self.chance.randint(1, 3)):
            self._pause()
            pid = writer_of(self.trainer.pid).pid
            if not self.settings["others"]:  # the program itself opens files for these
                pid = self.chance.choice([self.trainer.pid, pid])
            limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            used = len(os.listdir(f"/proc/{pid}/fd"))
            few = max(3, used - self.chance.randint(0, 4))
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (few, limits[1]))
            self._pause()
            with contextlib.suppress(ProcessLookupError):  # a writer that could not even start
                resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
            self.tried["no descriptors"] += 1

    def _rename(self, run_dir: Path) -> None:
        """A directory goes away and comes back, as a mount does, once the writer knows it."""
        wait_until((run_dir / "run.log").exists, "the writer", DEADLINE_S)
        for _ in range(self.chance.randint(1, 3)):
            self._pause()
            here = self.chance.choice([self.base, run_dir.parent, run_dir])
            away = here.with_name(f"{here.name}-away")
            here.rename(away)
            self._pause()
            away.rename(here)
            self.tried["renamed and back"] += 1

    def _fail_fsync(self) -> None:
        """The writer's next calls of fsync fail, once or several times."""
        for _ in range(self.chance.randint(1, 3)):
            self._pause()
            first = self.chance.randint(1, 4)
            last = first + self.chance.choice([0, 0, 3])
            inject = f"inject=fsync,fdatasync:error=EIO:when={first}..{last}"
            strace = subprocess.Popen(
                ["strace", "-f", "-p", str(writer_of(self.trainer.pid).pid), "-e", inject],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            self._pause()
            strace.terminate()
            strace.wait(DEADLINE_S)
            self.tried["fsync failed"] += 1

    def _kill_worker(self) -> None:
        def workers() -> list[int]:
            return [
                process.pid
                for process in processes()
                if process.parent_pid == self.trainer.pid and "log_for_ledger" in process.command
            ]

        wait_until(lambda: workers() or self.ledger.worker_ended, "the worker", DEADLINE_S)
        time.sleep(self.chance.random() * 0.3)
        for pid in workers():  # the trainer reaps it no earlier than at its own end
            os.kill(pid, signal.SIGKILL)
            self.tried["SIGKILL to a worker"] += 1

    def _kill_both(self) -> None:
        self._pause()
        if self.chance.random() < 0.5:
            for writer in writers_of(self.trainer.pid):
                os.kill(writer.pid, self.chance.choice([signal.SIGKILL, signal.SIGSTOP]))
        self.trainer.kill()
        kill_writers(self.writer.token, self.writer.pid)
        self.tried["SIGKILL to both"] += 1
        self._kill_orphans()
        several = [self._start_recovery() for _ in range(self.chance.choice([1, 1, 2]))]
        for recovery in several:
            assert recovery.wait(DEADLINE_S) == 0

    def _end_of_killed(self, run_dir: Path) -> None:
        """A trainer that was killed: its writer ends the run, or a recovery if that was killed."""
        self._kill_orphans()
        if self.points:
            time.sleep(1.0)
            kill_writers(self.writer.token, self.writer.pid)
            self._count_points()
            assert self._start_recovery().wait(DEADLINE_S) == 0
        wait_for_end(run_dir, DEADLINE_S)

    def _kill_orphans(self) -> None:
        """A worker may outlive its owner, and goes on in vain: end it."""
        mine = f'"{self.ledger.path}"'
        for process in processes():
            if mine in process.command and "log_for_ledger" in process.command:
                os.kill(process.pid, signal.SIGKILL)
                self.tried["SIGKILL to an orphaned worker"] += 1

    def _start_recovery(self) -> subprocess.Popen[bytes]:
        self.tried["recoveries"] += 1
        command = [sys.executable, "-m", "expman.writer", "recover", str(self.base)]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)


def main() -> int:
    """Runs rounds until the time is over or one of them fails."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", default="20260131")
    parser.add_argument("--at-once", type=int, default=2, help="rounds at a time")
    parser.add_argument("--round", type=int, help="only this one")
    parser.add_argument("--fault", choices=FAULTS, help="only rounds with this fault")
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="soak-"))
    deadline = time.monotonic() + 60 * options.minutes
    numbers = iter([options.round] if options.round is not None else range(10**9))
    lock, failed = threading.Lock(), threading.Event()
    faults: collections.Counter[str] = collections.Counter()
    tried: collections.Counter[str] = collections.Counter()
    sums: collections.Counter[str] = collections.Counter()

    def work() -> None:
        while time.monotonic() < deadline and not failed.is_set():
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            directory = place / str(number)
            directory.mkdir()
            one = Round(f"{options.seed}-{number}", directory)
            if options.fault not in (None, one.fault):
                shutil.rmtree(directory)
                continue
            try:
                one.run()
            except (Exception, pytest.fail.Exception) as exc:  # noqa: BLE001 - reported, then the end
                failed.set()
                print(f"\nFAILED: round {number} of seed {options.seed}: {one}\n{exc!r}")
                print(f"its files are in {directory}", flush=True)
                return
            with lock:
                faults[one.fault] += 1
                tried.update(one.tried)
                sums.update(one.summary)
            shutil.rmtree(directory)

    with ThreadPoolExecutor(options.at_once) as pool:
        for future in [pool.submit(work) for _ in range(options.at_once)]:
            future.result()
    print(f"\nseed {options.seed}: {faults.total()} rounds, {dict(sums)} rows")
    for title, counts in (("rounds", faults), ("tried", tried)):
        for name, count in sorted(counts.items()):
            print(f"  {title:6} {count:5} {name}")
    if failed.is_set():
        return 1
    print("no row lost, doubled or torn")
    shutil.rmtree(place)
    return 0


if __name__ == "__main__":
    sys.exit(main())
