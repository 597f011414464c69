"""config.yaml: the parameters of a run."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

from expman.errors import StorageError
from expman.storage import yamlfile
from expman.storage.paths import CONFIG_YAML, quarantine, storage_error
from expman.storage.storable import storable
from expman.storage.yamlfile import dump_yaml, parse_yaml, read_yaml, write_yaml

__all__ = ["merge_params"]


def merge_params(run_dir: str, params: Mapping[str, object]) -> list[str]:
    """Merges parameters into config.yaml at the top level.

    A value that YAML cannot hold is kept as its text, and costs no other one. A config.yaml
    that cannot be understood, or is not a plain file, is kept under another name.

    Durability: durable when it returns.

    Returns:
        Warnings for run.log.

    Raises:
        StorageError: config.yaml is as before.
    """
    path = os.path.join(run_dir, CONFIG_YAML)
    known, warnings = _read_config(path)
    try:
        write_yaml(path, {**known, **params}, check=True)
    except StorageError as exc:
        if isinstance(exc.__cause__, OSError):
            raise
        room_bytes = yamlfile.MAX_YAML_BYTES - len(dump_yaml(path, known))
        kept, problems = storable(params, _bytes_in_file, room_bytes)
        write_yaml(path, {**known, **kept}, check=True)
        warnings += problems
    return warnings


def _bytes_in_file(value: object) -> int | None:
    """Bytes that a value takes; None if it could not be written, or not read again."""
    try:
        text = dump_yaml("", {"value": value})
        if len(text) <= yamlfile.MAX_YAML_BYTES:
            parse_yaml("", text)
    except StorageError:
        return None
    return len(text)


def _read_config(path: str) -> tuple[dict[str, object], list[str]]:
    if not os.path.lexists(path):
        return {}, []
    try:
        return read_yaml(path), []
    except StorageError as exc:
        cause = exc.__cause__
        if isinstance(cause, OSError) and cause.errno not in (errno.EACCES, errno.EPERM):
            raise
        return {}, [f"{exc}; it was renamed to {_set_aside(path)}"]


def _set_aside(path: str) -> str:
    try:
        return os.path.basename(quarantine(path))
    except OSError as exc:
        raise storage_error(path, exc) from exc
