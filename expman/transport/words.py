"""Words of shared memory as attributes with names.

A word is 8 bytes, aligned, and is read and stored in one instruction: a reader sees the old value
or the new one. `lane_words` and `address_control` declare the words, and explain
which process stores each and why the order of stores is safe.
"""

from __future__ import annotations

from typing import Protocol, overload

__all__ = ["Flag", "Word"]


class _HasWords(Protocol):
    words: memoryview


class Word:
    """A word of a segment, as an attribute of the class that stands for the segment.

    Args:
        number: the word's number; its offset is 8 times as much.
    """

    def __init__(self, number: int) -> None:
        self.number = number

    @overload
    def __get__(self, memory: None, owner: type) -> Word: ...

    @overload
    def __get__(self, memory: _HasWords, owner: type) -> int: ...

    def __get__(self, memory: _HasWords | None, owner: type) -> int | Word:
        if memory is None:
            return self
        value: int = memory.words[self.number]
        return value

    def __set__(self, memory: _HasWords, value: int) -> None:
        memory.words[self.number] = value


class Flag:
    """A word that is 0 or 1."""

    def __init__(self, number: int) -> None:
        self.number = number

    @overload
    def __get__(self, memory: None, owner: type) -> Flag: ...

    @overload
    def __get__(self, memory: _HasWords, owner: type) -> bool: ...

    def __get__(self, memory: _HasWords | None, owner: type) -> bool | Flag:
        return self if memory is None else bool(memory.words[self.number])

    def __set__(self, memory: _HasWords, value: bool) -> None:
        memory.words[self.number] = int(value)
