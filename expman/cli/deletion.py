"""How runs are deleted: never one that may still be going on, and only what is a run."""

from __future__ import annotations

import os
import secrets
import shutil

import click

from expman.errors import ExpmanError
from expman.reading.peek import lanes_of
from expman.reading.run import Run
from expman.storage.paths import RUN_YAML

__all__ = ["delete", "size_bytes", "why_kept"]


def why_kept(run: Run) -> str | None:
    """Why a run must not be deleted; None if it may."""
    if os.path.islink(run.path) or not os.path.isfile(os.path.join(run.path, RUN_YAML)):
        return "has no run.yaml: it may be something else"
    try:
        if run.is_live:
            return "is RUNNING"
    except ExpmanError as exc:
        return str(exc)
    return "has rows in shared memory" if lanes_of(run.path) else None


def delete(run: Run) -> None:
    """Deletes a run: first its name, so that no half a run is ever listed.

    Raises:
        click.ClickException: it cannot be deleted.
    """
    parent, name = os.path.split(os.path.abspath(run.path))
    doomed = os.path.join(parent, f".expman-deleting-{name}-{secrets.token_hex(4)}")
    try:
        os.rename(run.path, doomed)
        shutil.rmtree(doomed)
    except OSError as exc:
        raise click.ClickException(f"{exc.filename or run.path}: {exc.strerror}") from exc


def size_bytes(run: Run) -> int:
    """Bytes of the files of a run."""
    total = 0
    for folder, _, files in os.walk(run.path):
        for name in files:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except FileNotFoundError:
                continue
    return total
