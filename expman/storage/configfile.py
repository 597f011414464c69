"""config.yaml: the parameters of a run."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from typing import TypeAlias

from expman.errors import StorageError
from expman.storage import yamlfile
from expman.storage.large_yaml import large_yaml
from expman.storage.paths import CONFIG_YAML, quarantine, replace_file, storage_error
from expman.storage.storable import storable
from expman.storage.yamlfile import dump_yaml, parse_yaml, read_yaml, write_yaml

__all__ = ["ConfigFile", "merge_params"]

_Stamp: TypeAlias = tuple[int, ...]
"""Tells a file from any that was there before or comes later."""


def merge_params(run_dir: str, params: Mapping[str, object]) -> list[str]:
    """Merges parameters into config.yaml once, see `ConfigFile.merge`."""
    return ConfigFile(run_dir).merge(params)


class ConfigFile:
    """The config.yaml of one run, and the content that this process has written.

    Args:
        run_dir: the run's directory.
    """

    def __init__(self, run_dir: str) -> None:
        self._path = os.path.join(run_dir, CONFIG_YAML)
        self._known: dict[str, object] = {}
        self._stamp: _Stamp | None = None  # of the file that holds just this

    def merge(self, params: Mapping[str, object]) -> list[str]:
        """Merges parameters into the file at the top level.

        A value that YAML cannot hold is kept as its text, and costs no other one. A config.yaml
        that cannot be understood, or is not a plain file, is kept under another name.

        Durability: durable when it returns.

        Returns:
            Warnings for run.log.

        Raises:
            StorageError: config.yaml is as before.
        """
        path = self._path
        known, warnings = self._read()
        merged = {**known, **params}
        large = large_yaml(merged)
        if large is not None and len(large) <= yamlfile.MAX_YAML_BYTES:
            replace_file(path, large)
            self._known, self._stamp = merged, _stamp_of(path)
            return warnings
        self._known, self._stamp = {}, None
        try:
            write_yaml(path, merged, check=True)
        except StorageError as exc:
            if isinstance(exc.__cause__, OSError):
                raise
            room_bytes = yamlfile.MAX_YAML_BYTES - len(dump_yaml(path, known))
            kept, problems = storable(params, _bytes_in_file, room_bytes)
            write_yaml(path, {**known, **kept}, check=True)
            warnings += problems
        return warnings

    def _read(self) -> tuple[dict[str, object], list[str]]:
        """What the file holds; it is read only if another one is there than was written last."""
        if self._stamp is not None and self._stamp == _stamp_of(self._path):
            return self._known, []
        return _read_config(self._path)


def _stamp_of(path: str) -> _Stamp | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


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
