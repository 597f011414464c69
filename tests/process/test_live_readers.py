"""vectors.parquet can be read at every moment of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

VERSIONS = 3  # how often each reader must see the file grow


@pytest.mark.parametrize(
    "readers",
    [
        pytest.param(["pyarrow"], id="pyarrow"),
        pytest.param(["duckdb", "pandas", "polars"], id="others", marks=pytest.mark.interop),
    ],
)
def test_reading_a_live_run_never_fails(program, run_base: Path, readers: list[str]) -> None:
    """Readers in processes of their own meet no error and never fewer rows, up to the end."""
    trainer = program("log_steadily.py", run_base, 500)
    parquet = Path(trainer.read_line()) / "vectors.parquet"
    reading = [program("read_in_a_loop.py", name, parquet, VERSIONS, "file") for name in readers]
    for reader in reading:
        reader.expect_line("enough")
    trainer.send_line()
    rows = int(trainer.read_line())
    trainer.succeed()
    for reader in reading:
        reader.send_line()
        reader.expect_line(str(rows))
        reader.succeed()


@pytest.mark.parametrize(
    "readers",
    [
        pytest.param(["pyarrow"], id="pyarrow"),
        pytest.param(["duckdb", "pandas", "polars"], id="others", marks=pytest.mark.interop),
    ],
)
def test_reading_by_path_never_fails(program, run_base: Path, readers: list[str]) -> None:
    """Nor do readers that open the path again for the data, as long as no metric joins."""
    trainer = program("log_steadily.py", run_base, 500, "same")
    parquet = Path(trainer.read_line()) / "vectors.parquet"
    reading = [program("read_in_a_loop.py", name, parquet, 4, "path") for name in readers]
    for reader in reading:
        reader.expect_line("enough")
        reader.send_line()
        assert int(reader.read_line()) > 0
        reader.succeed()
    trainer.send_line()
    trainer.succeed()
