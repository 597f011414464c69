"""Keeps pandas out of the writer process.

pyarrow imports pandas, where it is installed, at the first `pa.array(...)`: 0.3-0.5 s and some
60 MB for a process that never makes a data frame.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["keep_pandas_out"]


class _NoPandas(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is not used by expman-writer", name="pandas")
        return None


def keep_pandas_out() -> None:
    """Lets pyarrow look for pandas once, in vain; it remembers the answer.

    For the writer process only: `to_pandas()` does not work in this process afterwards.
    """
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        import pyarrow as pa

        pa.array([0])
    finally:
        sys.meta_path.remove(finder)
