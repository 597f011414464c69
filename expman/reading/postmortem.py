"""Explains how a run ended, or where it stands, for `expman why`."""

from __future__ import annotations

from expman.errors import ConfigError
from expman.metadata import Attempt
from expman.models import RunStatus
from expman.reading.run import Run
from expman.reading.where_it_stands import where_it_stands
from expman.storage.postmortem import (
    Fact,
    PostMortem,
    describe,
    earlier_attempts,
    read_post_mortem,
)

__all__ = ["PostMortem", "find_out", "why"]


def find_out(run: Run, attempt: int | None = None) -> PostMortem | None:
    """The post-mortem of a run, or where it stands if it is live; None if nothing went wrong.

    Args:
        run: the run.
        attempt: number of an attempt, from 1; None: the present one.

    Raises:
        ConfigError: there is no such attempt.
        StorageError: a file cannot be read.
    """
    meta = run.metadata
    if attempt is not None and not 1 <= attempt <= meta.attempt:
        count = "1 attempt" if meta.attempt == 1 else f"{meta.attempt} attempts"
        raise ConfigError("attempt", str(attempt), f"run {run._place} has {count}")
    if attempt is not None and attempt < meta.attempt:
        return read_post_mortem(run.path, attempt) or _bare(meta.attempts[attempt - 1], attempt)
    found = read_post_mortem(run.path)
    if found is None and meta.status is RunStatus.RUNNING:
        return where_it_stands(run)
    if found is None and meta.reason:
        return _bare(meta.attempts[-1], meta.attempt)
    return found


def _bare(one: Attempt, number: int) -> PostMortem | None:
    """What run.yaml has of an attempt without a post-mortem; None if nothing went wrong."""
    if not one.reason:
        return None
    return PostMortem(
        status=str(one.status),
        reason=one.reason,
        ended_at=one.finished_at,
        facts=[Fact(one.reason, "run.yaml")],
        last_rows=[],
        nonfinite={},
        traceback=None,
        fatal_traceback=None,
        machine={},
        console=[],
        log=[],
        stacks=[],
        began_at=one.started_at,
        attempt=number,
        host=one.host,
    )


def why(run: Run, attempt: int | None = None) -> str:
    """What `find_out` finds, as text for people.

    Raises:
        ConfigError: there is no such attempt.
        StorageError: a file cannot be read.
    """
    meta = run.metadata
    found = find_out(run, attempt)
    name = f"{run.experiment}/{run.name}"
    is_earlier = attempt is not None and attempt < meta.attempt
    earlier = [] if is_earlier else earlier_attempts(run.path, meta)
    if found is not None:
        return describe(f"{name}, attempt {attempt}" if is_earlier else name, found, earlier)
    status = meta.attempts[(attempt or meta.attempt) - 1].status
    which = "" if meta.attempt == 1 else f" in attempt {attempt or meta.attempt}"
    lines = [f"# {name}: {status}", "", f"Nothing went wrong{which}."]
    if earlier:
        lines += ["", "## Earlier attempts", "", *(f"- {line}" for line in earlier)]
    return "\n".join(lines) + "\n"
