"""Rows with values that no file can hold."""

from __future__ import annotations

from msgspec.structs import replace

from expman.models import reason_of
from expman.storage.columns import Columns, Warn
from expman.storage.rows import RowBlock, build_columns

__all__ = ["writable_part"]


def writable_part(row: RowBlock, exc: Exception, columns: Columns, warn: Warn) -> RowBlock | None:
    """Returns a row without the values that no file can hold; None if nothing of it can be kept.

    Args:
        row: one row, which failed to be written.
        exc: what it failed with.
        columns: the run's columns.
        warn: receives what was left out.

    Raises:
        Exception: `exc`, which has another reason than what is in the row.
    """
    if not _can_build(replace(row, keys=(), columns=[]), columns):
        name = f"row {row.first_seq} of {row.producer}"
        warn("row", f"{name} was left out, and counts as missing: {reason_of(exc)}")
        return None
    kept = [
        (key, column)
        for key, column in zip(row.keys, row.columns, strict=True)
        if _can_build(replace(row, keys=(key,), columns=[column]), columns)
    ]
    if len(kept) == len(row.keys):
        raise exc
    left_out = sorted(set(row.keys) - {key for key, _ in kept})
    names = ", ".join(map(repr, left_out))[:200]
    warn(f"value:{left_out}", f"a value of {names} was left out: {reason_of(exc)}")
    return replace(row, keys=tuple(key for key, _ in kept), columns=[column for _, column in kept])


def _can_build(row: RowBlock, columns: Columns) -> bool:
    try:
        build_columns([row], columns, _ignore)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - any kind of failure means that it cannot be built
        return False
    return True


def _ignore(subject: str, message: str) -> None:
    """Drops a warning: what is written in the end warns again."""
