"""wandb in offline mode."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

_HEADER, _BLOCK, _RECORD_HEADER = 7, 32 * 1024, 7
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


class _Run:
    def __init__(self, directory: str) -> None:
        import wandb

        os.makedirs(directory, exist_ok=True)
        settings = wandb.Settings(silent=True)
        self._run = wandb.init(project="bench", dir=directory, mode="offline", settings=settings)
        self.log = self._run.log

    def close(self) -> None:
        self._run.finish()


def open_run(directory: str, variant: str) -> _Run:
    """Opens an offline run."""
    return _Run(directory)


def _records(directory: str) -> Iterator[bytes]:
    """Reads the whole records of the .wandb file: the log format of LevelDB after a header."""
    (path,) = Path(directory).glob("wandb/offline-run-*/*.wandb")
    data, at, parts = path.read_bytes(), _HEADER, b""
    while at + _RECORD_HEADER <= len(data):
        if _BLOCK - at % _BLOCK < _RECORD_HEADER:
            at += _BLOCK - at % _BLOCK  # what is left of a block is padding
            continue
        size, kind = struct.unpack_from("<HB", data, at + 4)
        piece = data[at + _RECORD_HEADER : at + _RECORD_HEADER + size]
        if len(piece) < size or kind not in (_FULL, _FIRST, _MIDDLE, _LAST):
            return
        at += _RECORD_HEADER + size
        parts = piece if kind in (_FULL, _FIRST) else parts + piece
        if kind in (_FULL, _LAST):
            yield parts


def _kinds(directory: str) -> Iterator[str]:
    from wandb.proto import wandb_internal_pb2

    for data in _records(directory):
        yield wandb_internal_pb2.Record.FromString(data).WhichOneof("record_type")


def count_rows(directory: str, variant: str) -> int:
    """Counts the history records."""
    return sum(kind == "history" for kind in _kinds(directory))


def read_status(directory: str, variant: str) -> str:
    """Says whether there is an exit record."""
    return "exit recorded" if "exit" in set(_kinds(directory)) else "none"
