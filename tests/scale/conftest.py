"""What tests with clusters need."""

from __future__ import annotations

import pytest
from scale.some_runs import REPOSITORY


@pytest.fixture
def ray_env(ray_env: dict[str, str]) -> dict[str, str]:
    """Its processes import expman from here."""
    return {**ray_env, "PYTHONPATH": str(REPOSITORY)}
