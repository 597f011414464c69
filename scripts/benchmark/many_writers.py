"""A cluster on one machine: many trainers with several ranks log into one base directory.

    PYTHONPATH=scripts python -m benchmark.many_writers BASE_DIR --writers 10 --ranks 8

Prints what each writer takes, and how long a list of all runs and a query over all rows take while
they go on.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import expman

_TRAINER = """
import os, sys, time
from expman import ExperimentConfig, LoggingEngine

base, name, ranks, rate, seconds = sys.argv[1], sys.argv[2], *map(float, sys.argv[3:])
engine = LoggingEngine(ExperimentConfig("cluster", base, run_name=name, group="job", rank=0))
rank, children = 0, []
for number in range(1, int(ranks)):
    pid = os.fork()
    if not pid:
        rank, children = number, []
        break
    children.append(pid)
began, step = time.monotonic(), 0
while (left := began + step / rate - time.monotonic()) < seconds and step < rate * seconds:
    time.sleep(max(0.0, left))
    engine.log_vector({"loss": 1 / (step + 1), "rank_s": 0.1, "of": rank}, step)
    step += 1
if rank:
    os._exit(0)
for pid in children:
    os.waitpid(pid, 0)
engine.close()
"""


def writers_below(pids: set[int]) -> dict[int, tuple[float, float]]:
    """Returns CPU seconds and memory in MiB of the writers that these processes have started."""
    found = {}
    ticks = os.sysconf("SC_CLK_TCK")
    for entry in Path("/proc").iterdir():
        try:
            stat = (entry / "stat").read_text().rpartition(")")[2].split()
            command = (entry / "cmdline").read_bytes()
            if int(stat[1]) in pids and b"serve" in command.split(b"\0"):
                pages = int((entry / "statm").read_text().split()[1])
                cpu = (int(stat[11]) + int(stat[12])) / ticks
                found[int(entry.name)] = cpu, pages * os.sysconf("SC_PAGE_SIZE") / 2**20
        except (OSError, ValueError, IndexError):
            continue
    return found


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("base_dir", type=Path)
    parser.add_argument("--writers", type=int, default=10)
    parser.add_argument("--ranks", type=int, default=8)
    parser.add_argument("--rate", type=float, default=10.0, help="rows per second of each rank")
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    arguments = [str(options.ranks), str(options.rate), str(options.seconds)]
    trainers = [
        subprocess.Popen(
            [sys.executable, "-c", _TRAINER, str(options.base_dir), f"node-{number}", *arguments]
        )
        for number in range(options.writers)
    ]
    pids = {trainer.pid for trainer in trainers}
    time.sleep(options.seconds / 3)
    before = writers_below(pids)
    began = time.monotonic()
    time.sleep(options.seconds / 3)
    after, took = writers_below(pids), time.monotonic() - began
    asked = time.monotonic()
    found = expman.runs(options.base_dir)
    listed = time.monotonic()
    rows = expman.vectors(found, ["step", "loss"])
    print(
        f"while it runs: {len(found)} runs listed in {listed - asked:.2f} s, "
        f"{rows.num_rows:,} rows read in {time.monotonic() - listed:.2f} s"
    )
    shares = sorted((after[pid][0] - before[pid][0]) / took for pid in after if pid in before)
    memory = sorted(mib for _, mib in after.values())
    if shares:
        print(
            f"{len(shares)} writers, each: {100 * shares[len(shares) // 2]:.1f} % of a core in the "
            f"median, {100 * shares[-1]:.1f} % at most; {memory[len(memory) // 2]:.0f} MiB"
        )
    codes = [trainer.wait() for trainer in trainers]
    found = expman.runs(options.base_dir, status="finished")
    total = sum(run.metadata.rows_written for run in found)
    expected = int(options.writers * options.ranks * options.rate * options.seconds)
    files = sum(len(names) for _, _, names in os.walk(options.base_dir))
    print(
        f"{len(found)} runs, {total:,} of {expected:,} rows, {files} files, "
        f"exit codes {sorted(set(codes))}"
    )


if __name__ == "__main__":
    main()
