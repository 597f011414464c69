"""What a process and those that it has started have used, as /proc tells."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

TOKEN_VARIABLE = "EXPMAN_BENCH_JOB"
"""Every process of a job inherits it: those that detach themselves are found by it."""
_TICKS = os.sysconf("SC_CLK_TCK")


def own_cpu_s() -> float:
    """CPU seconds of this process, user and system, all its threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def others_cpu_s() -> float:
    """CPU seconds of everything that this process has started, ended or not.

    What runs is known by the clock tick only (10 ms).
    """
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    ticks = 0
    for pid in job_pids():
        if pid != os.getpid():
            try:
                fields = _stat_fields(pid)
            except OSError:
                continue  # ended meanwhile: its parent has it
            ticks += sum(map(int, fields[11:15]))  # its own and its children's, user and system
    return usage.ru_utime + usage.ru_stime + ticks / _TICKS


def job_pids() -> list[int]:
    """Pids of all processes of this job: by their token, or by their parents."""
    token = f"{TOKEN_VARIABLE}={os.environ.get(TOKEN_VARIABLE, '')}".encode()
    parents: dict[int, int] = {}
    marked: set[int] = {os.getpid()}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            pid = int(entry.name)
            parents[pid] = int(_stat_fields(pid)[1])
            if token in Path(entry.path, "environ").read_bytes().split(b"\0"):
                marked.add(pid)
        except OSError:
            continue  # ended meanwhile, or somebody else's
    return [pid for pid in parents if any(one in marked for one in _lineage(pid, parents))]


def _lineage(pid: int, parents: dict[int, int]) -> Iterator[int]:
    while pid in parents:
        yield pid
        pid = parents[pid]


def _stat_fields(pid: int) -> list[bytes]:
    """Fields of /proc/PID/stat from the state on."""
    text = Path(f"/proc/{pid}/stat").read_bytes()
    return text[text.rindex(b")") + 2 :].split()  # the name may contain anything


def children_of(pid: int) -> list[int]:
    """Pids of a process's children, and theirs, at this moment."""
    found: list[int] = []
    try:
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, path.read_text().split()):
                found += [child, *children_of(child)]
    except OSError:
        pass  # ended meanwhile
    return found


def peak_memory_bytes(pid: int) -> int:
    """The most that was resident at one time, shared memory included; 0 if it is gone.

    VmHWM and not ru_maxrss: that one starts with what the forking parent had.
    """
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def disk_bytes(directory: str) -> int:
    """Bytes of all files below a directory."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except FileNotFoundError:
                continue
    return total
