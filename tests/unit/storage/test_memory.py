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
import expman.writer.server
pa.array([0.5], pa.float64())
assert not {"numpy", "pandas"} & set(sys.modules)
import numpy
"""


@pytest.mark.parametrize(
    ("env", "pool"),
    [
        pytest.param({}, "system None", id="unset"),
        pytest.param({POOL: "mimalloc"}, "mimalloc mimalloc", id="user's"),
    ],
)
def test_pool_and_packages(program: StartProgram, env: dict[str, str], pool: str) -> None:
    """Arrow takes malloc (or the user's choice) and neither numpy nor pandas.

    Children inherit nothing, and what needs numpy itself can import it.
    """
    assert pool == program(["-W", "error", "-c", CODE], env=env).succeed().strip()
