"""Takes records out of a lane, into the files of its run."""

from __future__ import annotations

from expman.errors import StorageError
from expman.transport.consumer import LaneConsumer
from expman.writer.files import RunFiles

__all__ = ["drain", "poll"]


def poll(files: RunFiles, lane: LaneConsumer, *, dead: bool = False) -> int:
    """Takes what is published, up to a limit; returns how many records that were.

    Raises:
        StorageError: there is no descriptor, or no memory, at present.
    """
    try:
        batch = lane.poll("dead" if dead else "alive")
    except OSError as exc:
        raise StorageError(lane.name, exc.strerror or str(exc)) from exc
    files.take(lane, batch)
    return batch.count + len(batch.problems)


def drain(files: RunFiles, lane: LaneConsumer) -> None:
    """Takes all that is published.

    Raises:
        StorageError: call it again.
    """
    dead = not lane.producer_alive() or lane.sealed
    empty = 0
    while empty < 2:  # where stores are not ordered, a poll takes what the one before saw
        taken = poll(files, lane, dead=dead)
        empty = 0 if taken else empty + 1
        if taken and files.is_due():
            files.commit()
