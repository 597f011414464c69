"""The two lines that a run prints to stderr: where it is recorded, and how it ended."""

from __future__ import annotations

import os
import re
import select
import shlex
import stat
import sys
import time

from expman.shown import count_of
from expman.storage.paths import RUN_YAML

__all__ = ["StatusLines"]

_MAX_YAML_BYTES = 16 * 1024 * 1024
_STATUS = rb"(?m)^status: *(FINISHED|FAILED|CRASHED)$"
_COUNT = rb"(?m)^(rows_[a-z]+): *([0-9]{1,18})$"
_OTHERS = ("superseded", "dropped", "missing")


class StatusLines:
    """The lines of one run. The first is printed when it is made.

    Printing never raises and never waits: a line for which stderr has no room is left out.

    Args:
        run_dir: the run's directory.
    """

    def __init__(self, run_dir: str) -> None:
        self._run_dir = run_dir
        self._started = time.monotonic()
        _print(f"expman: recording to {run_dir}")

    def end(self) -> None:
        """Prints how the run ended, as its run.yaml has it, and where to look.

        Its rows are those of the run as it is now, as in `expman show`; those that a later attempt
        has superseded, or that were lost, are counted beside them.
        """
        try:
            status, facts = _facts(os.path.join(self._run_dir, RUN_YAML))
        except OSError:
            status, facts = None, {}
        took = f"{time.monotonic() - self._started:.1f} s"
        how = f"{status} after {took}" if status else f"the program ended after {took}"
        others = {word: facts.get(f"rows_{word}", 0) for word in _OTHERS}
        counts = [count_of(facts.get("rows_written", 0), "row")]
        counts += [f"{count:,} {word}" for word, count in others.items() if count]
        look = "why" if status in ("FAILED", "CRASHED") else "show"
        _print(
            f"expman: {how}, {', '.join(counts)}; look with: "
            f"expman {look} {shlex.quote(self._run_dir)}"
        )


def _facts(path: str) -> tuple[str | None, dict[str, int]]:
    """The final status and the counts of a run.yaml.

    The trainer has no YAML library, and needs none: these keys stand at the beginning of a line.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):  # a pipe would have us wait
            return None, {}
        content = file.read(_MAX_YAML_BYTES)
    status = re.search(_STATUS, content)
    counts = {key.decode(): int(number) for key, number in re.findall(_COUNT, content)}
    return (status[1].decode() if status else None), counts


def _print(text: str) -> None:
    try:
        if _has_room():
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()
    except Exception:  # noqa: BLE001 - the stream may be anything of the user's
        return


def _has_room() -> bool:
    """True if a short line can be written at once.

    A full pipe would hold up the program, and so would a terminal that is stopped. A pipe that
    nobody reads could end it (SIGPIPE).
    """
    try:
        fd = sys.stderr.fileno()
    except Exception:  # noqa: BLE001 - no file: a notebook's, or the user's own
        return True
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return [(fd, select.POLLOUT)] == poll.poll(0)
