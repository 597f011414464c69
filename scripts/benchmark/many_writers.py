"""A cluster on one machine: nodes of a job, each with several ranks, log into one base directory.

    PYTHONPATH=scripts python -m benchmark.many_writers BASE_DIR --writers 10 --ranks 8

A node is a trainer with a writer of its own; its ranks are forked, and log into the node's run. All
begin to log at the same time. Prints what each writer takes, who has which file open to write, and
how long readers take while they go on.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import expman
from expman.reading.ranks import over_ranks, ranks_of

_TRAINER = """
import gc, os, sys, time
from expman import ExperimentConfig, LoggingEngine

base, node, ranks, writers = sys.argv[1], *map(int, sys.argv[2:5])
rate, seconds = map(float, sys.argv[5:])
os.environ.update(RANK=str(node * ranks), WORLD_SIZE=str(writers * ranks))
engine = LoggingEngine(ExperimentConfig("cluster", base, run_name="node", group="job"))
local, children = 0, []
gc.freeze()  # forked ranks share memory
for number in range(1, ranks):
    pid = os.fork()
    if not pid:
        local, children = number, []
        os.environ["RANK"] = str(node * ranks + number)
        break
    children.append(pid)
if not local:
    open(os.path.join(base, f".ready-{node}"), "w").close()
while not os.path.exists(os.path.join(base, ".go")):
    time.sleep(0.5)
began, step = time.monotonic(), 0
while step < rate * seconds:
    time.sleep(max(0.0, began + step / rate - time.monotonic()))
    engine.log_vector({"loss": 1 / (step + 1), "step_s": 0.1, "of": local}, step)
    step += 1
if local:
    os._exit(0)
for pid in children:
    os.waitpid(pid, 0)
engine.close()
"""


def _writers_below(pids: set[int]) -> dict[int, tuple[float, float, float]]:
    """Returns CPU seconds, memory and memory of its own (MiB) of writers that these have begun."""
    found = {}
    ticks = os.sysconf("SC_CLK_TCK")
    for entry in (Path("/proc", child) for pid in pids for child in _children(pid)):
        try:
            if b"serve" in (entry / "cmdline").read_bytes().split(b"\0"):
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                lines = (entry / "smaps_rollup").read_text().splitlines()
                sizes = {line.split(":")[0]: line.split(":")[1] for line in lines[1:]}
                rss, own = (
                    sum(int(sizes[name].split()[0]) for name in names) / 1024
                    for names in (("Rss",), ("Private_Clean", "Private_Dirty"))
                )
                cpu = (int(stat[11]) + int(stat[12])) / ticks
                found[int(entry.name)] = cpu, rss, own
        except (OSError, ValueError, IndexError):
            continue
    return found


def _children(pid: int) -> list[str]:
    """The processes that the threads of a process have begun."""
    found = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += (thread / "children").read_text().split()
    return found


def _written_by(pids: set[int], base: str) -> Iterator[tuple[str, int]]:
    """Yields files below the base directory that one of these processes can write, with its id."""
    for pid in pids:
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                path = os.readlink(f"/proc/{pid}/fd/{fd}")
                info = Path(f"/proc/{pid}/fdinfo/{fd}").read_text()
                flags = int(info.split("flags:")[1].split()[0], 8)
                if path.startswith(base) and flags & (os.O_WRONLY | os.O_RDWR):
                    yield path, pid
        except OSError:
            continue


def _look(base_dir: Path) -> None:
    """Prints how long readers take while the job runs."""
    began = time.monotonic()
    found = expman.runs(base_dir)
    listed = time.monotonic()
    rows = expman.vectors(found, ["step", "loss"])
    read = time.monotonic()
    print(
        f"while it runs: {len(found)} runs listed in {listed - began:.2f} s, "
        f"{rows.num_rows:,} rows read in {read - listed:.2f} s"
    )
    first = next(run for run in found if run.name == "node")
    state = ranks_of(first)
    asked = time.monotonic()
    table = over_ranks(first, ["step_s"])
    print(
        f"{len(state.steps):,} ranks looked at in {asked - read:.2f} s (the last step is "
        f"{max(state.steps.values(), default=0)}), {table.num_rows} steps of one metric rolled up "
        f"over them in {time.monotonic() - asked:.2f} s"
    )


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("base_dir", type=Path)
    parser.add_argument("--writers", type=int, default=10)
    parser.add_argument("--ranks", type=int, default=8)
    parser.add_argument("--rate", type=float, default=10.0, help="rows per second of each rank")
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    base = options.base_dir.absolute()
    base.mkdir(parents=True, exist_ok=True)
    arguments = [options.ranks, options.writers, options.rate, options.seconds]
    began = time.monotonic()
    trainers = [
        subprocess.Popen([sys.executable, "-c", _TRAINER, str(base), *map(str, [node, *arguments])])
        for node in range(options.writers)
    ]
    pids = {trainer.pid for trainer in trainers}
    while len(list(base.glob(".ready-*"))) < options.writers:
        if any(trainer.poll() for trainer in trainers):
            sys.exit("a trainer has failed")
        time.sleep(0.5)
    print(f"all {options.writers} nodes are ready after {time.monotonic() - began:.0f} s")
    (base / ".go").touch()
    started = time.monotonic()
    time.sleep(options.seconds / 3)
    before, then = _writers_below(pids), time.monotonic()
    owners: dict[str, set[int]] = defaultdict(set)
    while time.monotonic() < started + options.seconds * 2 / 3:
        for path, pid in _written_by(set(before), str(base)):
            owners[path].add(pid)
        time.sleep(1.0)
    after, took = _writers_below(pids), time.monotonic() - then
    _look(base)
    if not after:
        sys.exit("the job was over before it was looked at: this machine is too busy")
    counts = Counter(map(len, owners.values()))
    print(f"files open to write: {dict(counts)} by so many writers")
    shares = sorted((after[pid][0] - before[pid][0]) / took for pid in after if pid in before)
    middle = len(shares) // 2
    _, rss, own = (sorted(values) for values in zip(*after.values(), strict=True))
    print(
        f"{len(shares)} writers, each: {100 * shares[middle]:.1f} % of a core in the median, "
        f"{100 * shares[-1]:.1f} % at most; {rss[middle]:.0f} MiB, {own[middle]:.0f} of its own"
    )
    codes = [trainer.wait() for trainer in trainers]
    print(f"all have ended {time.monotonic() - started - options.seconds:.0f} s after the last row")
    found = expman.runs(base, status="finished")
    total = sum(run.metadata.rows_written for run in found)
    expected = options.writers * options.ranks * int(options.rate * options.seconds)
    files = Counter(path.name for run in found for path in Path(run.path).iterdir())
    print(
        f"{len(found)} runs, {total:,} of {expected:,} rows, files {dict(files)}, "
        f"exit codes {sorted(set(codes))}"
    )
    asked = time.monotonic()
    table = over_ranks(next(run for run in found if run.name == "node"), ["step_s"], last=None)
    took = time.monotonic() - asked
    print(f"all {table.num_rows} steps over all ranks in {took:.2f} s, by roll-ups of the nodes")


if __name__ == "__main__":
    main()
