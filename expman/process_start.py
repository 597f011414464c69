"""When a process began, which identifies it together with its id: an id is used again."""

from __future__ import annotations

__all__ = ["began_ticks"]

_MOST_BYTES = 4096


def began_ticks(pid: int | str, proc: str = "/proc") -> int | None:
    """When a process began, in clock ticks since the boot; None if it has ended or never was.

    It is field 22 of /proc/PID/stat (proc(5)). The name before it may have any characters. A zombie
    has ended.

    Args:
        pid: its id; "self": this process, also where /proc is that of another PID namespace.
        proc: where /proc is.
    """
    try:
        with open(f"{proc}/{pid}/stat", "rb", buffering=0) as file:
            words = file.read(_MOST_BYTES).rpartition(b")")[2].split()
    except OSError:
        return None
    return int(words[19]) if len(words) >= 20 and words[0] not in (b"Z", b"X") else None
