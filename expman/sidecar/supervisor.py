"""Starts the writer process and starts a successor when it dies.

The supervising thread blocks in a read of the writer's stderr: it costs nothing while all
is well. A line is a warning for the user, the end of the stream is the writer's death.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections import deque

from expman.transport.segment import Address

__all__ = ["Supervisor"]

MAX_QUICK_DEATHS = 6
QUICK_DEATH_S = 5.0
_log = logging.getLogger("expman")
# The package's own directory comes last on the path: a trainer may have found expman by a
# path that the child does not know, and `-P` keeps modules of the working directory out.
_CODE = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from expman.writer.main import main; sys.exit(main())"
)


class Supervisor:
    """Keeps one writer process running for an address.

    Attributes:
        given_up: no writer could be kept alive; rows stay in shared memory.
        last_words: the latest lines of the writer's stderr.
    """

    def __init__(self, address: Address, run_dir: str) -> None:
        self.given_up = False
        self.last_words: deque[str] = deque(maxlen=8)
        self.restarts = 0
        self._address = address
        self._run_dir = run_dir
        self._stopping = False
        self._process = self._spawn()
        self._thread = threading.Thread(target=self._watch, name="expman-supervisor", daemon=True)
        self._thread.start()

    def _spawn(self) -> subprocess.Popen[bytes] | None:
        package_root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        command = [sys.executable or "python3", "-P", "-c", _CODE, package_root]
        try:
            return subprocess.Popen(  # a session of its own: not reached by the terminal's signals
                [*command, "serve", "--address", str(self._address)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as exc:
            self.last_words.append(f"{sys.executable}: {exc}")
            return None

    def _watch(self) -> None:
        deaths = 0
        while True:
            started = time.monotonic()
            self._listen()
            if self._stopping:
                return
            quick = time.monotonic() - started < QUICK_DEATH_S
            deaths = deaths + 1 if quick else 1
            if deaths > MAX_QUICK_DEATHS:
                self.given_up = True
                _log.warning(
                    "expman: the writer of %s cannot be kept running (%s); rows stay in shared "
                    "memory, `expman-writer recover` brings them into files",
                    self._run_dir,
                    self.reason(),
                )
                return
            time.sleep(0.05 * 2 ** (deaths - 1) if deaths > 1 else 0.0)
            if self._stopping:
                return
            self.restarts += 1
            self._process = self._spawn()

    def _listen(self) -> None:
        process = self._process
        if process is None or process.stderr is None:
            return
        with process.stderr as lines:
            for line in lines:
                text = line.decode(errors="replace").rstrip()
                self.last_words.append(text)
                if text.startswith("expman-writer: "):
                    _log.warning("%s", text)
        process.wait()

    def reason(self) -> str:
        """The writer's own latest words."""
        return self.last_words[-1] if self.last_words else "it said nothing"

    def pid(self) -> int | None:
        """Process id of the present writer."""
        return self._process.pid if self._process is not None else None

    def stop(self, timeout_s: float) -> None:
        """Starts no more successors, and waits for the writer's own end."""
        self._stopping = True
        self._thread.join(timeout_s)

    def expect_end(self) -> None:
        """The run is over: the writer's end is no accident any more."""
        self._stopping = True
