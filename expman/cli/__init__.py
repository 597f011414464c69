"""The `expman` command. If the extra `cli` is missing, one line names what to install."""

from __future__ import annotations

import contextlib
import gc
import os
import sys

__all__ = ["main"]

_PARTS = {"click", "rich", "plotext"}


def main() -> int:
    """Runs the command; returns its exit code: 0 done, 1 failed, 2 misused, 130 interrupted."""
    _open_streams()
    gc.set_threshold(100_000)  # lists of many runs hold no circles: looking for them takes long
    if sys.argv[1:2] == ["ls"]:
        from expman.storage.memory import do_without

        # pyarrow would import them, which takes as long as a list of 20,000 runs.
        do_without(("cloudpickle", "numpy", "pandas"), "expman ls")
    try:
        from expman.cli.commands import run
    except ModuleNotFoundError as exc:
        missing = (exc.name or "").partition(".")[0]
        if missing not in _PARTS:
            raise
        sys.stderr.write(
            f"expman: this command needs {missing}, which is not installed; "
            "run: pip install 'expman-sidecar[cli]'\n"
        )
        return 1
    return run()


def _open_streams() -> None:
    """Opens /dev/null for closed standard streams, so that no file of a run gets their number."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            with contextlib.suppress(OSError):
                os.open(os.devnull, os.O_RDWR)
