"""Checks what can be recorded of a run on this machine, besides what it logs itself."""

from __future__ import annotations

import faulthandler
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Literal, NamedTuple

from expman.writer.samplers.cgroup import Cgroup
from expman.writer.samplers.gpus import Gpus

__all__ = ["Finding", "Level", "recording_findings"]

Level = Literal["ok", "note", "problem"]
_GIT_S = 10.0


class Finding(NamedTuple):
    """The result of one check."""

    level: Level
    subject: str
    detail: str
    advice: str = ""


def recording_findings() -> Iterator[Finding]:
    """Checks each part of the recording; none of them is a problem for a run."""
    yield from _machine()
    yield from _gpus()
    yield _cgroup()
    yield _git()
    yield _pictures()
    yield _stacks()
    yield _terminal()


def _machine() -> Iterator[Finding]:
    if find_spec("psutil") is None:
        detail = "psutil is not installed: no frequency and no temperature of the processors"
        yield Finding("note", "machine", detail, _install("system"))
    else:
        yield Finding("ok", "machine", "processors, memory, disks, network, processes")
    if not os.path.exists("/proc/pressure/memory"):
        detail = "the kernel reports no pressure: no psi columns in system.parquet"
        yield Finding("note", "pressure", detail, "boot Linux 4.20 or later with psi=1")


def _gpus() -> Iterator[Finding]:
    gpus = Gpus()
    found = gpus.describe()
    lines = gpus.lines()
    if found:
        cards = found["gpus"]
        assert isinstance(cards, list)
        names = ", ".join(str(card.get("name", "GPU")) for card in cards)
        driver = f"driver {found.get('gpu_driver', 'unknown')}"
        yield Finding("ok", "GPUs", f"{len(cards)} by NVML: {names}; {driver}")
    elif find_spec("pynvml") is None and lines:
        yield Finding("note", "GPUs", "there is an NVIDIA driver, no package", _install("gpu"))
    elif lines:
        yield Finding("note", "GPUs", lines[0], "look whether nvidia-smi works")
    else:
        yield Finding("ok", "GPUs", "there is no NVIDIA driver")


def _cgroup() -> Finding:
    cgroup = Cgroup(os.getpid())
    limits = cgroup.limits()
    if not cgroup.read():
        detail = "the cgroup of this process cannot be read: limits and kills are not recorded"
        return Finding("note", "cgroup", detail, "mount /sys/fs/cgroup in the container")
    words = [
        f"{limits[name]:g} {unit}"
        for name, unit in (("mem_limit_gb", "GiB"), ("cpu_limit", "processors"))
        if name in limits
    ]
    return Finding("ok", "cgroup", f"limit: {', '.join(words)}" if words else "no limit")


def _git() -> Finding:
    program = shutil.which("git")
    if program is None:
        detail = "not installed: the commit of a run is not recorded"
        return Finding("note", "git", detail, "install git where the trainer runs")
    try:
        command = [program, "--version"]
        text = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_S).stdout
    except (OSError, subprocess.TimeoutExpired) as exc:
        return Finding("note", "git", f"does not work: {exc}", "look whether git --version works")
    return Finding("ok", "git", text.strip())


def _pictures() -> Finding:
    return Finding("ok", "pictures", "arrays become PNG, WAV and Parquet files without any extra")


def _stacks() -> Finding:
    if hasattr(faulthandler, "register") and hasattr(signal, "SIGRTMIN"):
        return Finding("ok", "stacks", "faulthandler and real-time signals")
    detail = "there is no faulthandler.register or no real-time signal: hangs have no stacks"
    return Finding("note", "stacks", detail, "use CPython on Linux")


def _terminal() -> Finding:
    try:
        for fd in os.openpty():
            os.close(fd)
    except OSError as exc:
        detail = f"no pseudo-terminal can be opened: {exc.strerror}"
        return Finding("note", "terminal", detail, "mount devpts at /dev/pts")
    return Finding("ok", "terminal", "pseudo-terminals can be opened")


def _install(extra: str) -> str:
    return f"pip install 'expman-sidecar[{extra}]'"
