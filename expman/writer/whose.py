"""Refuses to write a run into a directory with the files of another run or attempt."""

from __future__ import annotations

from expman.errors import StorageError
from expman.metadata import RunMetadata
from expman.storage.journal import known_state
from expman.storage.times import parse_time
from expman.transport.hello import Hello

__all__ = ["refuse_other_run"]

_NEAR_S = 2.0
"""The engine writes run.yaml so soon after it noted when it started."""


def refuse_other_run(run_dir: str, hello: Hello) -> None:
    """Refuses a directory that has the files of another run, or of a later attempt.

    One sign is not enough: users edit files, and memory may be damaged.

    Raises:
        StorageError: name, process and start of the run in it differ, at least two of them.
    """
    meta = known_state(run_dir)
    if meta is None or hello.role != "owner" or not meta.host.pid:
        return
    if hello.attempt < meta.attempt:
        why = f"the run has gone on in attempt {meta.attempt}"
        raise StorageError(run_dir, f"takes no rows of attempt {hello.attempt}: {why}")
    if meta.attempt > 1:  # numbers of attempts are claimed, see take_over
        return
    signs = (
        (meta.name, meta.experiment) != (hello.run_name, hello.experiment),
        meta.host.pid != hello.host.pid,
        _started_apart(meta, hello),
    )
    if sum(signs) > 1:
        whose = f"{meta.experiment}/{meta.name}, started at {meta.started_at}"
        raise StorageError(run_dir, f"has the files of another run ({whose}); move it away")


def _started_apart(meta: RunMetadata, hello: Hello) -> bool:
    started = parse_time(meta.started_at)
    return started is not None and abs(started.timestamp() - hello.started_at_ns / 1e9) > _NEAR_S
