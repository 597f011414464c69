"""`save`: files that are kept as they are now, and once more as they are at the end."""

from __future__ import annotations

import contextlib
import glob
import os

from expman.compat.wandb.errors import UsageError
from expman.integrations.own_run import OwnRun
from expman.shown import shown

__all__ = ["SavedFiles"]

POLICIES = ("live", "now", "end")


class SavedFiles:
    """Patterns of files; those that have changed by the end of the run are kept again.

    Args:
        own: the run.
    """

    def __init__(self, own: OwnRun) -> None:
        self._own = own
        self._patterns: list[tuple[str, str]] = []
        self._kept: dict[str, tuple[int, int]] = {}

    def save(self, pattern: str | os.PathLike[str], base: str | None, policy: str) -> list[str]:
        """Keeps the files of a pattern; returns their paths.

        Raises:
            UsageError: there is no such policy.
        """
        if policy not in POLICIES:
            raise UsageError(f"policy {shown(policy)} must be one of {', '.join(POLICIES)}")
        path = os.path.abspath(pattern)
        home = os.path.abspath(base or os.path.dirname(path))
        if policy != "now":
            self._patterns.append((path, home))
        return [] if policy == "end" else self._keep(path, home)

    def _keep(self, pattern: str, home: str) -> list[str]:
        found = sorted(glob.glob(pattern)) or [path for path in [pattern] if os.path.exists(path)]
        for path in found:
            facts = os.stat(path)
            mark = (facts.st_mtime_ns, facts.st_size)
            if self._kept.get(path) != mark or os.path.isdir(path):
                self._kept[path] = mark
                name = os.path.relpath(path, home)
                inside = not name.startswith("..")
                self._own.save_artifact(path, name if inside else os.path.basename(path))
        return found

    def keep_again(self) -> None:
        """At the end of the run: what has changed, and what is new."""
        patterns, self._patterns = self._patterns, []
        for pattern, home in patterns:
            with contextlib.suppress(OSError):  # a file goes while it is looked at
                self._keep(pattern, home)
