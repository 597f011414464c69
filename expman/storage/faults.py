"""Who died of a fault, by what `faulthandler` wrote, and by what is known of the processes' ends.

A forked child has the file of its parent: what is in that may be either's.
"""

from __future__ import annotations

import re

from expman.metadata import RunMetadata
from expman.models import PROCESS_ENDED, RunStatus
from expman.storage.evidence import Evidence, place_in
from expman.storage.paths import STACKS
from expman.storage.postmortem import Fact

__all__ = ["describe_faults"]

_SIGNALS = {
    "Segmentation fault": "SIGSEGV",
    "Bus error": "SIGBUS",
    "Aborted": "SIGABRT",
    "Floating point exception": "SIGFPE",
    "Floating-point exception": "SIGFPE",
    "Illegal instruction": "SIGILL",
}
_ENDED = re.compile(r"([^(]+ \(pid (\d+)[^)]*\)) was killed by (\w+)")
_KILLED = re.compile(r": killed by (\w+)")


def describe_faults(meta: RunMetadata, seen: Evidence) -> list[Fact]:
    """A fact for each fault, the latest last."""
    facts = []
    for pid, text in seen.faults:
        what = text.partition("\n")[0].removeprefix("Fatal Python error: ")
        place = place_in(_faulty_thread(text)) or place_in(text)
        where = f", {place}" if place else ""
        who = _who(pid, _SIGNALS.get(what, ""), meta, seen)
        facts.append(Fact(f"{who} died of a fault: {what}{where}", STACKS))
    return facts


def _who(pid: int, number: str, meta: RunMetadata, seen: Evidence) -> str:
    """The process that wrote into the file of process `pid`, as it died of a signal."""
    ended = [
        match.groups()
        for entry in seen.entries
        if entry.message.startswith(PROCESS_ENDED)
        and (match := _ENDED.match(entry.message.removeprefix(PROCESS_ENDED)))
    ]
    alike = [(who, int(its)) for who, its, killed_by in ended if killed_by == number]
    for who, its in alike:
        if its == pid:
            return str(who)
    own = _KILLED.search(meta.reason or "") if pid == meta.host.pid else None
    if own is not None and own[1] == number:
        return f"pid {pid}"
    if len(alike) == 1:
        return str(alike[0][0])
    is_over = pid == meta.host.pid and (own is not None or meta.status is not RunStatus.CRASHED)
    if is_over or alike:
        return f"a process that pid {pid} had forked"
    return f"pid {pid}, or a process that it had forked,"


def _faulty_thread(text: str) -> str:
    """The part of the text about the thread that had the fault."""
    return text.partition("Current thread 0x")[2].partition("\n\n")[0]
