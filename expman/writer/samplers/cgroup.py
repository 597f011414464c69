"""Limits and use of a process's cgroup, of version 2 or 1: a container's, a SLURM job's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from expman.writer.samplers.procfs import GIB, Rates, pairs_of, pressure_us, read_text

__all__ = ["Cgroup"]

_NO_LIMIT = 2**60
"""Version 1 has a number near 2**63 where there is no limit."""
_VERSION_2 = {"memory.current", "memory.max", "memory.peak", "pids.current", "pids.max"}
_FILES = {
    "memory.current": ("memory", "memory.usage_in_bytes"),
    "memory.max": ("memory", "memory.limit_in_bytes"),
    "memory.peak": ("memory", "memory.max_usage_in_bytes"),
    "pids.current": ("pids", "pids.current"),
    "pids.max": ("pids", "pids.max"),
}
"""For files of version 2: controller and file of version 1."""


class Cgroup:
    """The cgroup of a process.

    Args:
        pid: of the process.
        proc: where /proc is.
        root: where cgroups are.
    """

    def __init__(self, pid: int, proc: str = "/proc", root: str = "/sys/fs/cgroup") -> None:
        self._dirs = _directories(pid, proc, root)
        self._root = root
        self._rates = Rates()

    def read(self) -> dict[str, float]:
        """The values of now; rates are those since the last call."""
        found: dict[str, float] = dict(self._rates.per_second(self._counters()))
        for name, file, unit in (
            ("cgroup.mem_used_gb", "memory.current", GIB),
            ("cgroup.mem_peak_gb", "memory.peak", GIB),
            ("cgroup.pids", "pids.current", 1),
        ):
            value = self._number(file)
            if value is not None:
                found[name] = value / unit
        kills = self._events().get("oom_kill")
        if kills is not None:
            found["cgroup.oom_kills"] = kills
        for name, limit in self.limits().items():
            found[f"cgroup.{name}"] = limit
        return found

    def limits(self) -> dict[str, float]:
        """The limits that hold for the process, those of the cgroups above included.

        Returns:
            `mem_limit_gb`, `cpu_limit` (processors) and `pids_limit`, as far as there are any.
        """
        found: dict[str, float] = {}
        memory, pids = self._least("memory.max"), self._least("pids.max")
        if memory is not None:
            found["mem_limit_gb"] = memory / GIB
        processors = self._processors()
        if processors is not None:
            found["cpu_limit"] = processors
        if pids is not None:
            found["pids_limit"] = pids
        return found

    # -- files ----------------------------------------------------------------------------

    def _place(self, file: str) -> tuple[str, str] | None:
        """The directory and the name of a file of version 2, or of the one of version 1."""
        controller, old = _FILES[file]
        if controller in self._dirs:
            return self._dirs[controller], old
        return (self._dirs[""], file) if "" in self._dirs else None

    def _number(self, file: str) -> int | None:
        place = self._place(file)
        return None if place is None else _number(os.path.join(*place))

    def _least(self, file: str) -> int | None:
        place = self._place(file)
        if place is None:
            return None
        found = [_number(os.path.join(path, place[1])) for path in self._upwards(place[0])]
        return min((n for n in found if n is not None and n < _NO_LIMIT), default=None)

    def _upwards(self, path: str) -> Iterator[str]:
        """The directory and those above it, up to where cgroups begin."""
        while len(path) >= len(self._root):
            yield path
            path = os.path.dirname(path)

    def _processors(self) -> float | None:
        least: list[float] = []
        if "cpu" in self._dirs:
            for path in self._upwards(self._dirs["cpu"]):
                quota, period = (_number(f"{path}/cpu.cfs_{n}_us") for n in ("quota", "period"))
                if quota and period:  # -1 is no number here
                    least.append(quota / period)
        elif "" in self._dirs:
            for path in self._upwards(self._dirs[""]):
                words = read_text(f"{path}/cpu.max").split()
                with contextlib.suppress(ValueError, ZeroDivisionError, IndexError):
                    least.append(int(words[0]) / int(words[1]))
        return min(least, default=None)

    def _events(self) -> dict[str, int]:
        if "memory" in self._dirs:
            return pairs_of(f"{self._dirs['memory']}/memory.oom_control")
        return pairs_of(f"{self._dirs.get('', '')}/memory.events") if "" in self._dirs else {}

    def _counters(self) -> Iterator[tuple[str, float]]:
        if "cpuacct" in self._dirs:
            used = _number(f"{self._dirs['cpuacct']}/cpuacct.usage")
            if used is not None:
                yield "cgroup.cpu_pct", used / 1e7
        base = self._dirs.get("cpu", self._dirs.get(""))
        if base is None:
            return
        stat = pairs_of(f"{base}/cpu.stat")
        if "usage_usec" in stat:
            yield "cgroup.cpu_pct", stat["usage_usec"] / 1e4
        if "throttled_usec" in stat:
            yield "cgroup.throttled_pct", stat["throttled_usec"] / 1e4
        elif "throttled_time" in stat:
            yield "cgroup.throttled_pct", stat["throttled_time"] / 1e7
        if "" in self._dirs:
            for file, name in (("cpu", "cpu"), ("memory", "mem"), ("io", "io")):
                for kind, total_us in pressure_us(f"{self._dirs['']}/{file}.pressure"):
                    yield f"cgroup.psi_{name}_{kind}_pct", total_us / 1e4


def _number(path: str) -> int | None:
    text = read_text(path).strip()
    return int(text) if text.isdecimal() else None


def _directories(pid: int, proc: str, root: str) -> dict[str, str]:
    """For each controller of version 1 its directory; "" is that of version 2.

    The paths are those below the root of the reader's cgroup namespace. One that leads out of it
    (`/../…`) is another container's.
    """
    found: dict[str, str] = {}
    for line in read_text(f"{proc}/{pid}/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if not colon or ".." in path.split("/"):
            continue
        for controller in controllers.split(","):
            if controller.startswith("name="):
                continue
            mounts = [f"{root}/{controllers}", f"{root}/{controller}"] if controller else [root]
            if not controller and not os.path.exists(f"{root}/cgroup.controllers"):
                mounts = [f"{root}/unified"]  # version 1, with version 2 beside it
            for mount in mounts:
                whole = f"{mount}{path.rstrip('/')}"
                # In a container without a namespace of its own, only its part is mounted.
                place = next((p for p in (whole, mount) if os.path.isdir(p)), None)
                if place is not None:
                    found[controller] = place
                    break
    return found
