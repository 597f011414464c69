"""The `expman` command. Needs the extra `cli`; says so in one line if it is missing."""

from __future__ import annotations

import sys

__all__ = ["main"]

_PARTS = {"click", "rich", "plotext"}


def main() -> int:
    """Runs the command; returns its exit code: 0 done, 1 failed, 2 misused, 130 interrupted."""
    try:
        from expman.cli.commands import run
    except ModuleNotFoundError as exc:
        missing = (exc.name or "").partition(".")[0]
        if missing not in _PARTS:
            raise
        sys.stderr.write(
            f"expman: this command needs {missing}, which is not installed; "
            "run: pip install 'expman[cli]'\n"
        )
        return 1
    return run()
