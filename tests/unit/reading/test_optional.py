"""What needs a package that is not installed says what to install."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from unit.reading.run_files import block, make_run

import expman

CALLS: dict[str, tuple[str, Callable[[expman.Run], object]]] = {
    "to_pandas": ("pandas", lambda run: run.to_pandas()),
    "table": ("pandas", lambda run: expman.RunList([run]).to_pandas()),
    "read_metrics": ("pandas", lambda run: expman.read_metrics(run.path, to_pandas=True)),
    "to_polars": ("polars", lambda run: run.to_polars()),
    "to_duckdb": ("duckdb", lambda run: run.to_duckdb()),
    "sql": ("duckdb", lambda run: expman.RunList([run]).sql("SELECT 1")),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_package_that_is_not_installed(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the package, as that of the import does, and the command."""
    package, convert = CALLS[call]
    run = expman.Run(make_run(tmp_path, "r", block(0, {"loss": [1.0]})))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError) as caught:
        convert(run)
    install = "'expman-sidecar[sql]'" if package == "duckdb" else package
    text = f"this needs {package}, which is not installed; run: pip install {install}"
    assert (package, text) == (caught.value.name, str(caught.value))
