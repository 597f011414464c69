"""The answers that were given last, within a bound."""

from __future__ import annotations

import threading
from collections import OrderedDict

from starlette.responses import Response

__all__ = ["AnswerCache"]

CACHE_BYTES = 32 * 1024 * 1024
MOST_ANSWERS = 500
"""Those with a few new rows of a live run are small, and never asked for again after a second."""


class AnswerCache:
    """Answers that were given last; a key says what is in the run's files, too."""

    def __init__(self) -> None:
        self._found: OrderedDict[tuple[object, ...], Response] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: tuple[object, ...]) -> Response | None:
        """Returns an answer, if it is there."""
        with self._lock:
            found = self._found.get(key)
            if found is not None:
                self._found.move_to_end(key)
            return found

    def put(self, key: tuple[object, ...], answer: Response) -> None:
        """Keeps an answer; the ones that were longest not asked for go."""
        with self._lock:
            if key in self._found or len(answer.body) > CACHE_BYTES // 4:
                return
            self._found[key] = answer
            self._bytes += len(answer.body)
            while self._bytes > CACHE_BYTES or len(self._found) > MOST_ANSWERS:
                _, oldest = self._found.popitem(last=False)
                self._bytes -= len(oldest.body)
