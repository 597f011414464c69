"""Changes of run.yaml that other processes ask for; see storage/run_edits.py."""

from __future__ import annotations

import time
from typing import Any

from expman.storage.run_edits import remove_taken, take_edit, waits

__all__ = ["Edits"]

LOOK_S = 1.0


class Edits:
    """The changes that are wanted of the run in a directory."""

    def __init__(self, run_dir: str) -> None:
        self._run_dir = run_dir
        self._next_look = 0.0
        self._are_waiting = False
        self._has_taken = False

    @property
    def are_waiting(self) -> bool:
        """True if there are some; looks once a second."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + LOOK_S
            self._are_waiting = waits(self._run_dir)
        return self._are_waiting and not self._has_taken

    def take(self) -> dict[str, Any]:
        """Returns the keys of run.yaml that are to change.

        Raises:
            StorageError: what is there cannot be understood; it is removed.
        """
        if self._has_taken or not waits(self._run_dir):
            return {}
        self._are_waiting = False
        edit = take_edit(self._run_dir)
        self._has_taken = edit is not None
        return {} if edit is None else edit.changes()

    def remove_taken(self) -> None:
        """Removes what was taken: run.yaml has it."""
        if self._has_taken:
            remove_taken(self._run_dir)
            self._has_taken = False
