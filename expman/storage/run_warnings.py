"""Warnings about the files of a run, on their way to run.log."""

from __future__ import annotations

__all__ = ["RunWarnings"]


class RunWarnings:
    """Warnings that were not taken yet; each subject is reported once."""

    def __init__(self) -> None:
        self._subjects: set[str] = set()
        self._messages: list[str] = []

    def add(self, subject: str, message: str) -> None:
        """Adds a warning unless there was one about its subject."""
        if subject not in self._subjects:
            self._subjects.add(subject)
            self._messages.append(message)

    def take(self) -> list[str]:
        """Returns the messages since the last call."""
        messages, self._messages = self._messages, []
        return messages
