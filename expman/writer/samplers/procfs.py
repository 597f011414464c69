"""Reading /proc and /sys: small files whose content is made at the moment of the look."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["GIB", "MIB", "Rates", "numbers_of", "pairs_of", "pressure_us", "read_text"]

GIB = 2**30
MIB = 2**20
_MOST_BYTES = 1 << 20


def read_text(path: str) -> str:
    """The content of a file, or "" if it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return os.read(fd, _MOST_BYTES).decode("utf-8", "replace")
        finally:
            os.close(fd)
    except OSError:
        return ""


def pairs_of(path: str) -> dict[str, int]:
    """The lines `name number` or `name: number kB` of a file; kB become bytes."""
    found = {}
    for line in read_text(path).splitlines():
        words = line.split()
        if len(words) >= 2 and words[1].isdecimal():
            scale = 1024 if words[2:] == ["kB"] else 1
            found[words[0].rstrip(":")] = int(words[1]) * scale
    return found


def numbers_of(text: str) -> list[int]:
    """The whole numbers among the words of a text, in order."""
    return [int(word) for word in text.split() if word.isdecimal()]


def pressure_us(path: str) -> Iterator[tuple[str, int]]:
    """Microseconds that tasks have stalled: ("some", all time), and "full" where there is one.

    Format: Documentation/accounting/psi.rst of Linux.
    """
    for line in read_text(path).splitlines():
        kind, *rest = line.split()
        for word in rest:
            name, _, value = word.partition("=")
            if name == "total" and value.isdecimal():
                yield kind, int(value)


class Rates:
    """Rates of counters that only grow, from one look to the next.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._before: dict[str, tuple[float, float]] = {}

    def per_second(
        self, counters: Iterable[tuple[str, float]] | Mapping[str, float]
    ) -> Iterator[tuple[str, float]]:
        """Yields the growth of each counter per second; none for one that is new, or began anew."""
        now = self._clock()
        pairs = counters.items() if isinstance(counters, Mapping) else counters
        for name, count in pairs:
            before = self._before.get(name)
            self._before[name] = now, count
            if before is not None and now > before[0] and count >= before[1]:
                yield name, (count - before[1]) / (now - before[0])
