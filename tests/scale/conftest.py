"""What tests with clusters need."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import pytest
from scale.some_runs import REPOSITORY


@pytest.fixture
def ray_env() -> Iterator[dict[str, str]]:
    """Ray on this machine alone, with its files in a place that is then removed."""
    # Ray makes sockets in it: their paths are limited to some hundred bytes.
    with tempfile.TemporaryDirectory(prefix="ray") as place:
        yield {
            **dict.fromkeys(("HOME", "TMPDIR", "RAY_TMPDIR"), place),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "disabled",
            "PYTHONPATH": str(REPOSITORY),
        }
