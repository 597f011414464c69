"""Numbers in a file that survive the processes that count: who has logged how much."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

__all__ = ["Counters"]


class Counters:
    """So many counters in a mapped file, made if it is not there; one writer for each."""

    def __init__(self, path: str | os.PathLike[str], count: int = 0) -> None:
        if count:
            Path(path).write_bytes(bytes(8 * count))
        with open(path, "r+b") as file:
            self._words = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")

    def __len__(self) -> int:
        return len(self._words)

    def __getitem__(self, number: int) -> int:
        return self._words[number]

    def __setitem__(self, number: int, value: int) -> None:
        self._words[number] = value

    def values(self) -> list[int]:
        return self._words.tolist()
