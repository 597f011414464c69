"""The two lines that a run prints to stderr: where it is recorded, and how it ended."""

from __future__ import annotations

import os
import re
import select
import shlex
import stat
import sys

from expman.storage.paths import RUN_YAML

__all__ = ["StatusLines"]

_MAX_YAML_BYTES = 16 * 1024 * 1024
_FACT = re.compile(rb"^(status|duration_secs|rows_\w+): *([\w.+-]+)\r?$", re.MULTILINE)


class StatusLines:
    """The lines of one run. The first is printed when it is made.

    Printing never raises and never waits: a line for which stderr has no room is left out.

    Args:
        run_dir: the run's directory.
    """

    def __init__(self, run_dir: str) -> None:
        self._run_dir = run_dir
        _print(f"expman: recording to {run_dir}")

    def end(self) -> None:
        """Prints how the run ended, as its run.yaml has it, and where to look."""
        try:
            facts = _facts(os.path.join(self._run_dir, RUN_YAML))
        except OSError:
            facts = {}
        words = [f"expman: {_status(facts.get('status'))}"]
        if "duration_secs" in facts:
            words.append(f"after {float(facts['duration_secs']):.1f} s")
        counts = [f"{int(facts.get('rows_logged', 0)):,} rows"]
        for key in ("dropped", "missing"):
            number = int(facts.get(f"rows_{key}", 0))
            if number:
                counts.append(f"{number:,} {key}")
        show = f"expman show {shlex.quote(self._run_dir)}"
        _print(f"{' '.join(words)}, {', '.join(counts)}; look with: {show}")


def _status(status: str | None) -> str:
    if status in (None, "RUNNING"):
        return "the run ends with the program, whose exit status decides"
    return f"{status}"


def _facts(path: str) -> dict[str, str]:
    """Some top-level keys of a run.yaml. The trainer has no YAML library, and needs none here."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):  # a pipe would have us wait
            return {}
        content = file.read(_MAX_YAML_BYTES)
    return {key.decode(): value.decode() for key, value in _FACT.findall(content)}


def _print(text: str) -> None:
    try:
        if _has_room():
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()
    except Exception:  # noqa: BLE001 - the stream may be anything of the user's
        return


def _has_room() -> bool:
    """Whether a short line can be written at once.

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
