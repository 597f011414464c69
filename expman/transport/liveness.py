"""True if the producer of a lane lives.

A process id proves little: it is used again, zombies keep it, and in another PID namespace it
belongs to another process. So the kernel is asked about the lane itself. The process that claimed
it holds a POSIX record lock on its control. Children do not inherit that lock, and it goes with the
process, whatever ends it (`test_reused_pid`, `test_zombie`).

The lock also goes when the process closes any descriptor of the file, as a program does that closes
all descriptors that it does not know. So without a lock, a process that has the recorded id *and*
maps the lane's control counts as the producer, too
(`test_trainer_that_closes_descriptors_it_does_not_know_lives`). exec drops the mapping, and a
process of another namespace or with a reused id does not have it.
"""

from __future__ import annotations

import os

from expman.process_start import began_ticks
from expman.transport import segment

__all__ = ["lives", "mark_of", "producer_pid"]


def lives(control: segment.Segment, pid: int) -> bool:
    """True if the producer of a lane lives.

    Args:
        control: the lane's control.
        pid: the process id in its hello.
    """
    return control.is_locked() or (pid != os.getpid() and _maps(pid, control))


def producer_pid(control: segment.Segment, pid: int) -> int | None:
    """The id here of the process that has claimed a lane; None if it is gone, or not seen here.

    Args:
        control: the lane's control.
        pid: the process id in its hello: that of its own PID namespace.
    """
    holder = control.holder()
    if holder is not None or control.is_locked():
        return holder
    return pid if pid != os.getpid() and _maps(pid, control) else None


def mark_of(pid: int) -> str:
    """A process's id and start time, which identify it for good; "" once it has ended."""
    ticks = began_ticks(pid)
    return "" if ticks is None else f"{pid}:{ticks}"


def _maps(pid: int, control: segment.Segment) -> bool:
    number, inode = control.identity
    device = f"{os.major(number):02x}:{os.minor(number):02x}"
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
            return any(_is_mapping(line, device, inode) for line in file)
    except (OSError, ValueError):
        return False  # it has ended, or is a zombie, or another user's


def _is_mapping(line: str, device: str, inode: int) -> bool:
    fields = line.split(maxsplit=5)
    return len(fields) >= 5 and fields[3] == device and fields[4] == str(inode)
