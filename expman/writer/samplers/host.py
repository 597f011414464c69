"""Load of the whole host: processors, memory, disks, network, pressure, shared memory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from expman.writer.samplers.procfs import (
    GIB,
    MIB,
    Rates,
    numbers_of,
    pairs_of,
    pressure_us,
    read_text,
)

__all__ = ["HostLoad"]

_SECTOR_BYTES = 512
_VIRTUAL_DISKS = ("loop", "ram", "zram", "dm-", "md")
"""What they do is done by the disks below them, too, or by none."""


class HostLoad:
    """The load of the host, as a process sees it.

    Args:
        pid: of that process: its network, and its /dev/shm, may not be those of the writer.
        run_dir: the directory whose file system is watched.
    """

    def __init__(self, pid: int, run_dir: str, proc: str = "/proc", sys: str = "/sys") -> None:
        self._own = f"{proc}/{pid}"
        self._run_dir = run_dir
        self._proc = proc
        self._sys = sys
        self._rates = Rates()
        self._ticks: list[int] = []

    def read(self) -> dict[str, float]:
        """The values of now; rates are those since the last call."""
        return {**self._processors(), **self._memory(), **self._space(), **self._flows()}

    def _processors(self) -> dict[str, float]:
        found = {}
        ticks = numbers_of(read_text(f"{self._proc}/stat").partition("\n")[0])[:8]
        if len(ticks) == 8 and len(self._ticks) == 8:
            # user, nice, system, idle, iowait, irq, softirq, steal; some of them may go back.
            spent = [max(0, new - old) for new, old in zip(ticks, self._ticks, strict=True)]
            whole = sum(spent)
            if whole:
                found["cpu.util_pct"] = 100 * (whole - spent[3] - spent[4]) / whole
                found["cpu.iowait_pct"] = 100 * spent[4] / whole
        self._ticks = ticks
        words = read_text(f"{self._proc}/loadavg").split()
        with contextlib.suppress(ValueError, IndexError):
            found["cpu.load_1min"] = float(words[0])
        return found

    def _memory(self) -> dict[str, float]:
        found: dict[str, float] = {}
        memory = pairs_of(f"{self._proc}/meminfo")
        total, available = memory.get("MemTotal"), memory.get("MemAvailable")
        if total and available is not None:
            found["mem.used_gb"] = (total - available) / GIB
            found["mem.total_gb"] = total / GIB
            found["mem.util_pct"] = 100 * (total - available) / total
        if "SwapTotal" in memory and "SwapFree" in memory:
            found["swap.used_gb"] = (memory["SwapTotal"] - memory["SwapFree"]) / GIB
        return found

    def _space(self) -> dict[str, float]:
        found = {}
        for path in (f"{self._own}/root/dev/shm", "/dev/shm"):
            with contextlib.suppress(OSError):
                room = os.statvfs(path)
                found["shm.used_gb"] = (room.f_blocks - room.f_bfree) * room.f_frsize / GIB
                found["shm.total_gb"] = room.f_blocks * room.f_frsize / GIB
                break
        with contextlib.suppress(OSError):
            room = os.statvfs(self._run_dir)
            found["disk.free_gb"] = room.f_bavail * room.f_frsize / GIB
        return found

    def _flows(self) -> dict[str, float]:
        counters = [*self._disks(), *self._network(), *self._pressure()]
        return dict(self._rates.per_second(counters))

    def _disks(self) -> Iterator[tuple[str, float]]:
        try:
            whole = os.listdir(f"{self._sys}/block")
        except OSError:
            return
        disks = {name for name in whole if not name.startswith(_VIRTUAL_DISKS)}
        read = written = 0
        for line in read_text(f"{self._proc}/diskstats").splitlines():
            words = line.split()
            if len(words) > 9 and words[2] in disks:
                read += int(words[5])
                written += int(words[9])
        yield "disk.read_mb_s", read * _SECTOR_BYTES / MIB
        yield "disk.write_mb_s", written * _SECTOR_BYTES / MIB

    def _network(self) -> Iterator[tuple[str, float]]:
        text = read_text(f"{self._own}/net/dev") or read_text(f"{self._proc}/net/dev")
        received = sent = 0
        for line in text.splitlines():
            name, colon, rest = line.partition(":")
            counts = numbers_of(rest)
            if colon and name.strip() != "lo" and len(counts) > 8:
                received += counts[0]
                sent += counts[8]
        if text:
            yield "net.recv_mb_s", received / MIB
            yield "net.sent_mb_s", sent / MIB

    def _pressure(self) -> Iterator[tuple[str, float]]:
        for file, name in (("cpu", "cpu"), ("memory", "mem"), ("io", "io")):
            for kind, total_us in pressure_us(f"{self._proc}/pressure/{file}"):
                if (file, kind) != ("cpu", "full"):  # 0 for a whole system
                    yield f"psi.{name}_{kind}_pct", total_us / 10_000
