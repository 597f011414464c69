"""What keeps the writer process small."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import StartProgram

POOL = "ARROW_DEFAULT_MEMORY_POOL"
CODE = """
import os, sys
from expman.storage.memory import limit_memory
limit_memory()
import pyarrow as pa, pyarrow.parquet
print(pa.default_memory_pool().backend_name, os.environ.get("ARROW_DEFAULT_MEMORY_POOL"))
pa.array([0.5], pa.float64())
for name in ("cloudpickle", "numpy", "pandas", "pyarrow._s3fs"):
    assert name not in sys.modules
    try:
        __import__(name)
    except ModuleNotFoundError as exc:
        assert "is not used by expman-writer" in str(exc)
"""
SHORT_RUN = """
import os, sys
sys.modules["typing_extensions"] = None  # as `expman.interpreter` has it
from expman.storage.memory import limit_memory
limit_memory()
import expman.writer.main, expman.writer.server
from expman.storage.rows import RowBlock
from expman.storage.vectors import VectorStore
store = VectorStore(sys.argv[1])
for first in (0, 30):
    rows = range(first, first + 30)
    columns = [[float(row) for row in rows], [row % 3 for row in rows]]
    store.append(RowBlock("main", first, list(rows), list(rows), ("loss", "epoch"), columns))
    store.flush(sync=True)
store.finish()
store.close()
slow = {"numpy", "pandas", "pyarrow.compute", "PIL", "psutil"}
slow |= {"ssl", "_hashlib", "tempfile", "shutil", "argparse", "inspect", "socket", "tokenize"}
print(*sorted(slow & sys.modules.keys()))
"""
OTHER_PYARROW = """
from expman.storage import memory
del memory._NoCertificates.get_default_verify_paths
memory.limit_memory()
import pyarrow.fs, pyarrow.parquet, ssl
print(ssl.__name__, ssl.SSLContext.__name__, pyarrow.fs.LocalFileSystem.__name__)
"""


LATE_MODULES = """
import sys
sys.modules["typing_extensions"] = None
from expman.storage.memory import limit_memory
limit_memory()
import pyarrow.parquet.core, pyarrow.util
print("inspect" in sys.modules, "socket" in sys.modules)
print(pyarrow.parquet.core.inspect.signature(print) is not None, pyarrow.util.socket.AF_UNIX.name)
import inspect, socket
print(inspect.signature is pyarrow.parquet.core.inspect.signature, socket.__file__ is not None)
"""


@pytest.mark.parametrize(
    ("env", "pool"),
    [
        pytest.param({}, "system None", id="unset"),
        pytest.param({POOL: "mimalloc"}, "mimalloc mimalloc", id="user's"),
    ],
)
def test_pool_and_packages(program: StartProgram, env: dict[str, str], pool: str) -> None:
    """Arrow takes malloc (or the user's choice), no numpy, no pandas; children inherit nothing."""
    assert pool == program(["-W", "error", "-c", CODE], env=env).succeed().strip()


def test_what_a_short_run_imports(program: StartProgram, tmp_path: Path) -> None:
    """A run of few rows is written without the packages that are slow to import."""
    assert "" == program(["-W", "error", "-c", SHORT_RUN, str(tmp_path)]).succeed().strip()


def test_modules_that_are_imported_once_they_are_used(program: StartProgram) -> None:
    """What pyarrow imports for functions that are not called here comes with their first use."""
    found = program(["-W", "error", "-c", LATE_MODULES]).succeed().split()
    assert ["False", "False", "True", "AF_UNIX", "True", "True"] == found


def test_a_pyarrow_that_asks_for_more_of_ssl(program: StartProgram) -> None:
    """Where the stand-in for `ssl` does not do, pyarrow gets the real one."""
    found = program(["-W", "error", "-c", OTHER_PYARROW]).succeed().strip()
    assert "ssl SSLContext LocalFileSystem" == found
