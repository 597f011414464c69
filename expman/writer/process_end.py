"""How a process that logs has ended, as far as somebody who is not its parent can know.

Only the parent learns an exit status by right. Two sources show it to others of the same user:

- the descriptor of the process (pidfd), which keeps it for good: PIDFD_GET_INFO, Linux 6.15;
- field 52 of /proc/PID/stat (proc(5)), as long as the parent has not taken the status: a zombie.

Where neither does, the status is not known, and nothing is guessed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct

from expman.failpoints import hit
from expman.transport.consumer import LaneConsumer

__all__ = ["ProcessEnd"]

WAIT_S = 0.1
"""Between the release of its locks and its end a process takes a moment."""
_INFO = struct.Struct("=QQ11Ii")  # struct pidfd_info, up to exit_code: 64 bytes
_GET_INFO = 3 << 30 | _INFO.size << 16 | 0xFF << 8 | 11  # _IOWR(PIDFS_IOCTL_MAGIC, 11, …)
_HAS_EXIT = 1 << 3  # PIDFD_INFO_EXIT
_EXIT_CODE = 13
_MOST_BYTES = 4096


class ProcessEnd:
    """Watches the process that has claimed a lane, from when its lane was found.

    Args:
        lane: the lane.

    Attributes:
        pid: its id here; None if it was gone, or is in another PID namespace.
    """

    def __init__(self, lane: LaneConsumer) -> None:
        self._fd = -1
        self.pid = lane.producer_pid()
        if self.pid is None:
            return
        with contextlib.suppress(OSError):
            self._fd = os.pidfd_open(self.pid)
        if lane.producer_pid() != self.pid:  # the descriptor may be that of a later process
            self.close()

    @property
    def runs_on(self) -> bool:
        """True if the process lives, though it has given up the lane: it runs another program."""
        return self._fd >= 0 and not self._has_ended(WAIT_S)

    def status(self) -> int | None:
        """The exit status, negative for a signal; None if it is not known, or there is none yet."""
        if self._fd < 0 or not self._has_ended(WAIT_S):
            return None
        try:
            hit("exit-status")
            code = self._kept()
            if code is None:  # it is in /proc as long as it is not kept
                code = self._of_zombie()
            if code is None:
                code = self._kept()
        except OSError:
            return None
        return None if code is None else os.waitstatus_to_exitcode(code)

    def _has_ended(self, timeout_s: float) -> bool:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(1000 * timeout_s))

    def _kept(self) -> int | None:
        answer = bytearray(_INFO.size)
        struct.pack_into("=Q", answer, 0, _HAS_EXIT)
        try:
            fcntl.ioctl(self._fd, _GET_INFO, answer)
        except OSError:  # an older kernel
            return None
        fields = _INFO.unpack(answer)
        return int(fields[_EXIT_CODE]) if fields[0] & _HAS_EXIT else None

    def _of_zombie(self) -> int | None:
        try:
            with open(f"/proc/{self.pid}/stat", "rb", buffering=0) as file:
                words = file.read(_MOST_BYTES).rpartition(b")")[2].split()
            signal.pidfd_send_signal(self._fd, 0)  # it is there still: so nobody had its id
        except OSError:
            return None
        return int(words[49]) if len(words) > 49 and words[0] == b"Z" else None

    def close(self) -> None:
        """Gives the descriptor back."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()
