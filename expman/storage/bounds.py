"""Limits of the values in run.yaml and in the footer of vectors.parquet.

Both are read whole, by readers with limits of their own: our reader of YAML takes 64 MB, Arrow's
reader of footers 100 MB. Scalars that run.yaml has no room for are in scalars.json: a JSON
mapping, where an integer beyond 64 bits is `{"hex": "0x…"}`.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping

from expman.errors import StorageError
from expman.models import MetricValue
from expman.storage.paths import SCALARS_JSON, read_regular, replace_file, storage_error

__all__ = [
    "MAX_BYTES",
    "MAX_ENTRIES",
    "MAX_TEXT",
    "fitting",
    "packed",
    "read_rest",
    "shortened",
    "unpacked",
    "write_rest",
]

MAX_TEXT = 1000
"""Characters of a metric's latest text."""
MAX_ENTRIES = 50_000
MAX_BYTES = 8 * 1024 * 1024
_ENTRY_BYTES = 32


def shortened(value: MetricValue) -> MetricValue:
    """The value; a long text is cut, with a mark that differs where the texts do.

    Once more it stays as it is.
    """
    if type(value) is not str or len(value) <= MAX_TEXT:
        return value
    import hashlib  # with OpenSSL, 4 MB that most runs do not need

    digest = hashlib.sha256(value.encode("utf-8", "backslashreplace")).hexdigest()[:16]
    mark = f"… ({len(value):,} characters, sha256 {digest})"
    return value[: MAX_TEXT - len(mark)] + mark


def fitting(values: Mapping[str, MetricValue]) -> dict[str, MetricValue]:
    """The values that there is room for, in their order; one that is too large costs no other."""
    kept: dict[str, MetricValue] = {}
    room = MAX_BYTES
    for key, value in values.items():
        size = _ENTRY_BYTES + _bytes(key) + _bytes(value)
        if size <= room and len(kept) < MAX_ENTRIES:
            kept[key] = value
            room -= size
    return kept


def _bytes(value: MetricValue) -> int:
    """About what it takes in a file; YAML and JSON write no character longer than Python does."""
    if isinstance(value, str):
        return len(value) if value.isascii() and value.isprintable() else len(ascii(value))
    return value.bit_length() // 3 if isinstance(value, int) else 0


def write_rest(run_dir: str, scalars: Mapping[str, MetricValue]) -> None:
    """Replaces scalars.json; without any scalars it is removed.

    Durability: durable when it returns.

    Raises:
        StorageError: the file is as before.
    """
    path = os.path.join(run_dir, SCALARS_JSON)
    if scalars:
        replace_file(path, json.dumps({k: packed(v) for k, v in scalars.items()}).encode())
        return
    with contextlib.suppress(OSError):
        os.unlink(path)


def read_rest(run_dir: str) -> dict[str, MetricValue]:
    """The scalars of scalars.json.

    Raises:
        StorageError: it cannot be read.
    """
    path = os.path.join(run_dir, SCALARS_JSON)
    try:
        found = json.loads(read_regular(path, follow=True))
        return {key: unpacked(value) for key, value in found.items()}
    except OSError as exc:
        raise storage_error(path, exc) from exc
    except (ValueError, AttributeError, KeyError, TypeError) as exc:
        raise StorageError(path, f"is damaged: {exc}") from exc


def packed(value: MetricValue) -> object:
    """The value for JSON: Python refuses to read and write decimal integers beyond some size."""
    return {"hex": hex(value)} if type(value) is int and value.bit_length() > 64 else value


def unpacked(value: object) -> MetricValue:
    """Inverse of `packed`.

    Raises:
        ValueError, KeyError, TypeError: the value does not come from `packed`.
    """
    if isinstance(value, dict):
        return int(value["hex"], 16)
    if not isinstance(value, float | int | str):
        raise TypeError(f"a value is a {type(value).__name__}")
    return value
