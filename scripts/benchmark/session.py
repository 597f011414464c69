"""One session: all contestants in interleaved rounds."""

from __future__ import annotations

import dataclasses
import datetime
import os
import platform
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark import environments
from benchmark.contestants import Contestant
from benchmark.environments import ROOT, Environment
from benchmark.jobs import Runner
from benchmark.plan import MEASUREMENTS, Job, Sizes, jobs_for

FORMAT = 1


def run_session(
    contestants: Sequence[Contestant],
    measurements: Sequence[str],
    sizes: Sizes,
    rounds: int,
    runner: Runner,
    *,
    quick: bool,
    limit_s: float,
) -> dict[str, Any]:
    """Makes the environments and measures; returns the raw results as JSON.

    In a round each measurement goes through all contestants before the next one begins, the
    next round in reverse: what disturbs the machine for a while disturbs them all. After
    `limit_s` seconds no measurement is begun any more, but for those of the first round.
    """
    begin, machine = time.monotonic(), describe_machine()  # as it is before
    made = _make_environments(contestants)
    jobs = [
        job
        for contestant in contestants
        if made[contestant.environment].error is None
        for job in jobs_for(contestant, sizes)
        if job.measurement in measurements
    ]
    jobs.sort(key=lambda job: MEASUREMENTS.index(job.measurement))  # stable: by contestant within
    records: list[dict[str, Any]] = []
    bounded: set[str] = set()
    for number in range(rounds):
        chosen = [job for job in jobs if number % job.every == 0]
        for at, job in enumerate(_in_turn(chosen, reverse=bool(number % 2))):
            if job.measurement == "whole" and job.contestant.name in bounded:
                continue  # fewer rows than these were too many already
            if number and time.monotonic() - begin > limit_s:
                break
            _show(number, rounds, at, len(chosen), job)
            record = _run_job(runner, made[job.contestant.environment], job)
            if "error" in record:
                print(f"  {job.contestant.name}: {record['error']}", flush=True)
            elif record["result"].get("bounded"):
                bounded.add(job.contestant.name)
            records.append(record | {"round": number})
    return {
        "format": FORMAT,
        "about": machine
        | {
            "rounds": rounds,
            "quick": quick,
            "limit_s": limit_s,
            "took_s": round(time.monotonic() - begin),
            "sizes": dataclasses.asdict(sizes),
        },
        "contestants": [_describe(contestant, made) for contestant in contestants],
        "records": records,
    }


def _make_environments(contestants: Sequence[Contestant]) -> dict[str, Environment]:
    made: dict[str, Environment] = {}
    for contestant in contestants:
        if contestant.environment not in made:
            environment = environments.make(contestant)
            made[contestant.environment] = environment
            if environment.error:
                print(f"{contestant.name} {environment.error}", flush=True)
    return made


def _in_turn(jobs: Sequence[Job], *, reverse: bool) -> list[Job]:
    """Reverses the contestants within each measurement in every second round."""
    if not reverse:
        return list(jobs)
    turned = list(jobs)[::-1]
    turned.sort(key=lambda job: MEASUREMENTS.index(job.measurement))
    return turned


def _run_job(runner: Runner, environment: Environment, job: Job) -> dict[str, Any]:
    wanted = {"task": job.task, "contestant": job.contestant.name, "params": job.params}
    then = wanted | {"task": "survivors"} if job.task == "killed" else None
    begin = time.monotonic()
    answer = runner.run(environment.python, wanted, then)
    if "error" not in answer:
        answer.pop("stderr_tail", None)
    return {
        "measurement": job.measurement,
        "contestant": job.contestant.name,
        "label": job.label,
        "params": job.params,
        "took_s": round(time.monotonic() - begin, 2),
    } | answer


def _show(number: int, rounds: int, at: int, count: int, job: Job) -> None:
    what = f"{job.measurement} {job.label}".strip()
    print(f"round {number + 1}/{rounds} {at + 1}/{count} {what}: {job.contestant.name}", flush=True)


def _describe(contestant: Contestant, made: dict[str, Environment]) -> dict[str, Any]:
    environment = made[contestant.environment]
    return {
        "name": contestant.name,
        "kind": contestant.kind,
        "version": environment.versions.get(contestant.version_of or ""),
        "error": environment.error,
    }


def describe_machine() -> dict[str, Any]:
    """Says where, when and of what the measurement was made."""
    return {
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": f"{platform.python_version()} ({_build()})",
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "load_before": round(os.getloadavg()[0], 1),
        "commit": _commit(),
    }


def _build() -> str:
    """Says what tells two builds of one version apart."""
    flags = sysconfig.get_config_var("CONFIG_ARGS") or ""
    pgo = "with" if "--enable-optimizations" in flags else "without"
    origin = "the distribution's" if sys.base_prefix == "/usr" else "built from source"
    return f"{origin}, {pgo} PGO"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _commit() -> str:
    git = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.check_output([*git, "rev-parse", "--short=12", "HEAD"], text=True).strip()
        changed = subprocess.check_output([*git, "status", "--porcelain", "expman"], text=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + (" with changes" if changed.strip() else "")
