"""Report of a recovery about one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from expman.errors import StorageError
from expman.shown import count_of
from expman.storage.yamlfile import RunFile

__all__ = ["Outcome", "guarded", "summary"]

_Subject = TypeVar("_Subject")


class Outcome(str):
    """A line for the user.

    Attributes:
        ok: nothing is left to be done about it.
    """

    ok: bool

    def __new__(cls, text: str, ok: bool = True) -> Outcome:
        self = super().__new__(cls, text)
        self.ok = ok
        return self


def guarded(
    act: Callable[[_Subject], Iterator[Outcome]], subject: _Subject, name: str
) -> Iterator[Outcome]:
    """Acts on one run or address, and reports a failure: it costs no other."""
    try:
        yield from act(subject)
    except Exception as exc:  # noqa: BLE001 - each run is on its own; the line names the error
        yield Outcome(f"cannot recover {name}: {type(exc).__name__}: {exc}", ok=False)


def summary(run_dir: str) -> str:
    """The status and the rows of a run that was recovered."""
    try:
        meta = RunFile(run_dir).read()
    except StorageError as exc:
        return str(exc)
    return f"{meta.status}, {count_of(meta.rows_written, 'row')}"
