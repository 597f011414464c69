"""A process and all its descendants: what they use together."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import msgspec

from expman.process_start import began_ticks
from expman.writer.samplers.procfs import GIB, MIB, Rates, numbers_of, pairs_of, read_text

__all__ = ["OwnUse", "ProcessTree", "find_process", "processes_below"]

MOST_PROCESSES = 4096
MOST_MAPPED_BYTES = 8 * GIB
"""Of a larger process the kernel would take long to add up which pages nobody else has."""
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class _Use(msgspec.Struct):
    """Present resource use of one process.

    Attributes:
        id: its pid and when it began: a pid is used again.
        cpu_s: seconds of processor time since it began.
    """

    id: str
    cpu_s: float
    threads: int
    rss: int
    uss: int
    open_files: int
    read: int
    written: int


class ProcessTree:
    """Resource use of a process and its descendants.

    The writer itself is left out of the tree: often it is a child of the process.

    Args:
        pid: of the process at the top, see `find_process`; 0: there is none.
    """

    def __init__(self, pid: int, proc: str = "/proc") -> None:
        self.pid = pid
        self._proc = proc
        self._id = f"{pid}:{began_ticks(pid, proc)}"
        self._rates = Rates()
        self._spent: dict[str, tuple[float, float, float]] = {}

    def read(self) -> dict[str, float]:
        """The values of now; empty once the process at the top is gone."""
        own = self._use(self.pid) if self.pid else None
        if own is None or own.id != self._id:
            return {}
        others = (self._use(pid) for pid in self.pids() if pid != self.pid)
        tree = [own, *(use for use in others if use is not None)]
        found: dict[str, float] = {
            "proc.rss_gb": own.rss / GIB,
            "proc.threads": own.threads,
            "proc.open_files": own.open_files,
            "tree.processes": len(tree),
            "tree.rss_gb": sum(use.rss for use in tree) / GIB,
            "tree.uss_gb": sum(use.uss for use in tree) / GIB,
            "tree.threads": sum(use.threads for use in tree),
            "tree.open_files": sum(use.open_files for use in tree),
        }
        peak = pairs_of(f"{self._proc}/{self.pid}/status").get("VmHWM")
        if peak is not None:
            found["proc.peak_rss_gb"] = peak / GIB
        cpu_s, read, written = self._all_spent(tree)
        counters = {
            "proc.cpu_pct": 100 * own.cpu_s,
            "tree.cpu_pct": 100 * cpu_s,
            "tree.read_mb_s": read / MIB,
            "tree.write_mb_s": written / MIB,
        }
        return found | dict(self._rates.per_second(counters))

    def pids(self) -> list[int]:
        """The process and its descendants, without the writer and its own."""
        return processes_below(self.pid, self._proc, without=os.getpid())

    def _all_spent(self, tree: list[_Use]) -> tuple[float, float, float]:
        """Processor time and bytes of all: counters that only grow, whoever ends."""
        for use in tree:
            self._spent[use.id] = use.cpu_s, use.read, use.written
        if len(self._spent) > 2 * MOST_PROCESSES:  # the ended ones become one
            there = {use.id for use in tree}
            ended = [spent for key, spent in self._spent.items() if key not in there]
            self._spent = {key: spent for key, spent in self._spent.items() if key in there}
            self._spent[""] = _sums(ended)
        return _sums(list(self._spent.values()))

    def _use(self, pid: int) -> _Use | None:
        base = f"{self._proc}/{pid}"
        # The name is in brackets and may have any characters (proc(5), /proc/pid/stat).
        words = read_text(f"{base}/stat").rpartition(")")[2].split()
        if len(words) < 22 or words[0] in ("Z", "X"):
            return None
        rss = int(words[21]) * _PAGE
        try:
            open_files = len(os.listdir(f"{base}/fd"))
        except OSError:
            open_files = 0
        flows = pairs_of(f"{base}/io")
        return _Use(
            id=f"{pid}:{words[19]}",
            cpu_s=(int(words[11]) + int(words[12])) / _TICKS,
            threads=int(words[17]),
            rss=rss,
            uss=self._unshared(base, rss),
            open_files=open_files,
            read=flows.get("read_bytes", 0),
            written=flows.get("write_bytes", 0),
        )

    @staticmethod
    def _unshared(base: str, rss: int) -> int:
        """Bytes that no other process has: what its end would free."""
        if rss <= MOST_MAPPED_BYTES:
            pages = pairs_of(f"{base}/smaps_rollup")
            if "Private_Dirty" in pages:
                return pages["Private_Dirty"] + pages.get("Private_Clean", 0)
        return pairs_of(f"{base}/status").get("RssAnon", rss)


class OwnUse:
    """Resource use of the writer itself, for all runs that it serves."""

    def __init__(self) -> None:
        self._rates = Rates()

    def read(self) -> dict[str, float]:
        """The values of now."""
        pages = numbers_of(read_text("/proc/self/statm"))
        found = {"writer.rss_gb": pages[1] * _PAGE / GIB} if len(pages) > 1 else {}
        spent = {"writer.cpu_pct": 100 * time.process_time()}
        return found | dict(self._rates.per_second(spent))


def _sums(spent: list[tuple[float, float, float]]) -> tuple[float, float, float]:
    return sum(s[0] for s in spent), sum(s[1] for s in spent), sum(s[2] for s in spent)


def find_process(pid: int, began: int, began_before_ns: int, proc: str = "/proc") -> int:
    """Finds a process by its pid and its begin; it may have the pid in another PID namespace.

    Args:
        pid: as the process itself sees it.
        began: when it began, see `Program.began_ticks`; 0 if that is not known.
        began_before_ns: it began before, in nanoseconds since the epoch.
        proc: where /proc is.

    Returns:
        Its pid here; 0 if it is gone, or cannot be seen from here.
    """
    found = began_ticks(pid, proc)
    if not began:
        began_s = _boot_s(proc) + (found or 0) / _TICKS
        return pid if found and began_s < began_before_ns / 1e9 + 2 else 0
    if found == began:
        return pid
    for name in os.listdir(proc):
        if name.isdecimal() and began_ticks(int(name), proc) == began:
            # "NSpid": the pids in all namespaces from the reader's to the process's own (proc(5)).
            lines = read_text(f"{proc}/{name}/status").splitlines()
            pids = next((numbers_of(line) for line in lines if line.startswith("NSpid:")), [])
            if pids and pids[-1] == pid:
                return int(name)
    return 0


def _boot_s(proc: str) -> int:
    lines = read_text(f"{proc}/stat").splitlines()
    return next((numbers_of(line)[0] for line in lines if line.startswith("btime ")), 0)


def processes_below(pid: int, proc: str = "/proc", without: int = 0) -> list[int]:
    """A process and its descendants; without one of them, and the descendants of that one."""
    found: dict[int, None] = {}
    waiting = [pid]
    children = _children_by_parent(proc) if not _knows_children(pid, proc) else None
    while waiting and len(found) < MOST_PROCESSES:
        current = waiting.pop()
        if current in found or current == without:
            continue
        found[current] = None
        waiting += _children(current, proc) if children is None else children.get(current, [])
    return list(found)


def _knows_children(pid: int, proc: str) -> bool:
    """True if the kernel lists children (CONFIG_PROC_CHILDREN)."""
    return os.path.exists(f"{proc}/{pid}/task/{pid}/children")


def _children(pid: int, proc: str) -> Iterator[int]:
    try:
        threads = os.listdir(f"{proc}/{pid}/task")
    except OSError:
        return
    for thread in threads:
        yield from numbers_of(read_text(f"{proc}/{pid}/task/{thread}/children"))


def _children_by_parent(proc: str) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for name in os.listdir(proc):
        if name.isdecimal():
            words = read_text(f"{proc}/{name}/stat").rpartition(")")[2].split()
            if len(words) > 1:
                found.setdefault(int(words[1]), []).append(int(name))
    return found
