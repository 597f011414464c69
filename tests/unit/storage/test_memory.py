"""What keeps the writer process small."""

from __future__ import annotations

import pytest
from conftest import StartProgram

POOL = "ARROW_DEFAULT_MEMORY_POOL"
CODE = """
import os, sys
from expman.storage.memory import limit_memory
limit_memory()
import pyarrow as pa
print(pa.default_memory_pool().backend_name, os.environ.get("ARROW_DEFAULT_MEMORY_POOL"))
pa.array([0.5], pa.float64())
assert "pandas" not in sys.modules
"""


@pytest.mark.parametrize(
    ("env", "pool"),
    [
        pytest.param({}, "system None", id="unset"),
        pytest.param({POOL: "mimalloc"}, "mimalloc mimalloc", id="user's"),
    ],
)
def test_pool_and_pandas(program: StartProgram, env: dict[str, str], pool: str) -> None:
    """Arrow takes malloc (or the user's choice) and no pandas; children inherit nothing."""
    assert pool == program(["-W", "error", "-c", CODE], env=env).succeed().strip()
