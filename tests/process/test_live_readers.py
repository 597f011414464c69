"""vectors.parquet can be read at every moment of a run."""

from __future__ import annotations

from pathlib import Path

import pytest
from process.runs import run_yaml, wait_until

from expman import ExperimentConfig, LoggingEngine
from expman.writer.sinks.metadata import HEARTBEAT_S

# How often each reader must see the file grow: it is rewritten some two seconds apart.
each_number = pytest.mark.parametrize("versions", [2, pytest.param(6, marks=pytest.mark.soak)])


@each_number
@pytest.mark.parametrize(
    "readers",
    [
        pytest.param(["pyarrow"], id="pyarrow"),
        pytest.param(["duckdb", "pandas", "polars"], id="others", marks=pytest.mark.interop),
    ],
)
def test_reading_a_live_run_never_fails(
    program, run_base: Path, readers: list[str], versions: int
) -> None:
    """Readers in processes of their own meet no error and never fewer rows, up to the end."""
    trainer = program("log_steadily.py", run_base, 500)
    parquet = Path(trainer.read_line()) / "vectors.parquet"
    reading = [program("read_in_a_loop.py", name, parquet, versions, "file") for name in readers]
    for reader in reading:
        reader.expect_line("enough")
    trainer.send_line()
    rows = int(trainer.read_line())
    trainer.succeed()
    for reader in reading:
        reader.send_line()
        reader.expect_line(str(rows))
        reader.succeed()


@each_number
@pytest.mark.parametrize(
    "readers",
    [
        pytest.param(["pyarrow"], id="pyarrow"),
        pytest.param(["duckdb", "pandas", "polars"], id="others", marks=pytest.mark.interop),
    ],
)
def test_reading_by_path_never_fails(
    program, run_base: Path, readers: list[str], versions: int
) -> None:
    """Nor do readers that open the path again for the data, as long as no metric joins."""
    trainer = program("log_steadily.py", run_base, 500, "same")
    parquet = Path(trainer.read_line()) / "vectors.parquet"
    reading = [program("read_in_a_loop.py", name, parquet, versions, "path") for name in readers]
    for reader in reading:
        reader.expect_line("enough")
        reader.send_line()
        assert int(reader.read_line()) > 0
        reader.succeed()
    trainer.send_line()
    trainer.succeed()


def test_run_yaml_follows_rows_that_are_the_last_for_now(run_base: Path) -> None:
    """Rows right after a new run.yaml are in it soon, not only with the next heartbeat."""
    with LoggingEngine(ExperimentConfig("live", run_base)) as engine:
        for row in range(4):
            engine.log_vector({"row": row}, row)

            def is_shown(rows: int = row + 1) -> bool:
                run = run_yaml(Path(engine.run_dir))
                return (rows, rows - 1) == (run.get("rows_written"), run["vectors"].get("row"))

            wait_until(is_shown, f"row {row} in run.yaml", HEARTBEAT_S / 2)
