"""Work that other processes may do, on this host or on others: a function, and jobs for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

__all__ = ["JobMap", "in_this_process"]

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


class JobMap(Protocol):
    """Calls a function with each job; the results come in the order of the jobs.

    Function, jobs and results can be pickled. A job may be done more than once, as after the end of
    a process that was at it: what it leaves in files then does no harm.
    """

    def __call__(
        self, function: Callable[[_Job], _Result], jobs: Iterable[_Job], /
    ) -> Iterable[_Result]:
        """Yields the results."""


def in_this_process(
    function: Callable[[_Job], _Result], jobs: Iterable[_Job], /
) -> Iterator[_Result]:
    """Does the jobs in this process, one after the other."""
    return map(function, jobs)
