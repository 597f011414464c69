"""Rows at full speed, then SIGKILL: the session reads back what survived (`survivors`)."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from benchmark.child import load
from benchmark.contestants import Contestant
from benchmark.timing import make_rows

COUNT_FILE = "calls-that-returned"


def run(contestant: Contestant, directory: str, params: dict[str, Any]) -> dict[str, Any]:
    """Logs `rows` rows, or for `seconds`, notes how many, and kills its own process."""
    opened = load(contestant).open_run(directory, contestant.variant)
    source, step = make_rows(2), 0
    end = time.monotonic() + params["seconds"]
    while step < params["rows"] and (step & 63 or time.monotonic() < end):
        opened.log(source[step % len(source)], step)
        step += 1
    Path(directory).with_name(COUNT_FILE).write_text(str(step))
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("survived SIGKILL")
