"""The parameters of a run, as its config.yaml holds them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from expman.errors import StorageError
from expman.storage import paths, yamlfile

__all__ = ["flat_params", "read_params"]


def read_params(run_dir: str, *, dates: bool) -> dict[str, object]:
    """Reads config.yaml; empty if no parameter was logged.

    Args:
        run_dir: the run's directory.
        dates: read what looks like a date as a date. expman-rs stores dates as text.

    Raises:
        StorageError: config.yaml is damaged.
    """
    path = os.path.join(run_dir, paths.CONFIG_YAML)
    try:
        return yamlfile.read_yaml(path, dates=dates, follow=True)
    except StorageError:
        if os.path.exists(path):
            raise
        return {}


def flat_params(params: Mapping[str, object]) -> dict[str, object]:
    """Returns nested parameters under dotted names, as tables show them: `model.layers`."""
    flat: dict[str, object] = {}
    for keys, value in _leaves(params, ()):
        name = ".".join(map(str, keys))
        if name in flat:  # `{"a": {"b": 1}, "a.b": 2}`, or the keys 1 and "1"
            name = ".".join(map(repr, keys))
        flat[name] = value
    return flat


def _leaves(
    params: Mapping[Any, object], above: tuple[object, ...]
) -> Iterator[tuple[tuple[object, ...], object]]:
    for key, value in params.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*above, key))
        else:
            yield (*above, key), value
