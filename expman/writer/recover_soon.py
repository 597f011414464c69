"""In a writer: has stale runs recovered by another process."""

from __future__ import annotations

import os
import threading
import time

from expman.interpreter import start_writer
from expman.writer.stale import SILENT_S, served_runs, stale_addresses, stale_runs

__all__ = ["RecoverSoon"]

_SCAN_DELAY_S = 1.0


class RecoverSoon:
    """Has stale runs of the base directories recovered that this writer has runs in.

    A thread looks for them, twice: what has shown life too lately at the first look may be dead
    at the second. A process is started only if there are any. Its failure costs this writer
    nothing.
    """

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, base_dir: str) -> None:
        if base_dir not in self._seen:
            self._seen.add(base_dir)
            threading.Thread(
                target=_scan, args=(base_dir,), name="expman-stale", daemon=True
            ).start()


def _scan(base_dir: str) -> None:
    wanted = os.path.realpath(base_dir)
    for delay_s in (_SCAN_DELAY_S, SILENT_S):  # the new run comes first
        time.sleep(delay_s)
        runs = list(stale_runs(wanted, served_runs()))
        if any(run.dead for run in runs) or any(
            wanted in stale.base_dirs for stale in stale_addresses()
        ):
            start_writer("recover", base_dir)
        if not any(run.young for run in runs):
            return
