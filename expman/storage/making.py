"""A file that a thread of the writer makes: under a temporary name, which its owner replaces."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable

from expman.storage.paths import create_temp

__all__ = ["FileInMaking"]


class FileInMaking:
    """One new file: `start()`, then `wait()` until it returns True, then look at the outcome.

    Args:
        run_dir: where it is made.
        thread_name: of the thread.

    Attributes:
        temp: path of the finished, fsynced file; None until then and after an error.
        error: what went wrong.
    """

    def __init__(self, run_dir: str, thread_name: str) -> None:
        self.temp: str | None = None
        self.error: BaseException | None = None
        self._run_dir = run_dir
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._run, name=thread_name, daemon=True)

    def start(self) -> None:
        """Starts the work."""
        self._thread.start()

    def wait(self, timeout_s: float | None) -> bool:
        """Waits for the end; True once it is there."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def cancel(self, wait_s: float = 0.0) -> None:
        """Ends the work at the next chunk and leaves no file behind.

        Args:
            wait_s: how long to wait for the thread. One that hangs in a system call removes its
                file itself.
        """
        self._cancelled.set()
        if self._thread.ident is not None:
            self._thread.join(wait_s)
        if not self._thread.is_alive():
            self.discard()

    def discard(self) -> None:
        """Removes the temporary file."""
        temp, self.temp = self.temp, None
        if temp is not None:
            with contextlib.suppress(OSError):
                os.unlink(temp)

    @property
    def cancelled(self) -> bool:
        """True if it was cancelled."""
        return self._cancelled.is_set()

    def _run(self) -> None:
        try:
            self._make()
        except BaseException as exc:  # noqa: BLE001 - the top of a thread: its owner looks at it
            self.error = exc
            self.discard()
        if self.cancelled:
            self.discard()

    def _make(self) -> None:
        """The work: it calls `_write_temp`, or there is no file."""
        raise NotImplementedError

    def _write_temp(self, write: Callable[[str], None]) -> None:
        """Has `write` fill a temporary file, and fsyncs it."""
        fd, self.temp = create_temp(self._run_dir)
        try:
            write(self.temp)
            if not self.cancelled:
                os.fsync(fd)
        finally:
            os.close(fd)
