"""expman, as it is installed by `pip install .`."""

from __future__ import annotations

import os
from pathlib import Path

from benchmark.contestants import Log


class _Run:
    def __init__(self, directory: str) -> None:
        from expman import ExperimentConfig, LoggingEngine

        config = ExperimentConfig("bench", directory, suffix_if_taken=True)
        self._engine = LoggingEngine(config)
        self.log: Log = self._engine.log_vector

    def close(self) -> None:
        self._engine.close(timeout_s=600)


def open_run(directory: str, variant: str) -> _Run:
    """Opens a run; a forked child's close() ends the child's part of it."""
    return _Run(directory)


def _run_dir(directory: str) -> Path:
    return next(path for path in Path(directory, "bench").iterdir() if path.is_dir())


def count_rows(directory: str, variant: str) -> int:
    """Counts the rows of vectors.parquet and those of the live tail that are not in it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    run_dir = _run_dir(directory)
    seen: set[tuple[str, int]] = set()
    # The tail first: what leaves it is in vectors.parquet by then.
    for path in sorted(run_dir.glob("vectors-*.arrow")):
        try:
            with pa.ipc.open_stream(path.read_bytes()) as batches:
                for batch in batches:
                    seen.update(_names(batch))
        except (FileNotFoundError, pa.ArrowInvalid, OSError):
            pass  # consolidated just now, or a batch that is being written
    try:
        with open(run_dir / "vectors.parquet", "rb") as file:
            seen.update(_names(pq.ParquetFile(file).read(["_producer", "_seq"])))
    except FileNotFoundError:
        pass
    return len(seen)


def _names(rows: object) -> zip[tuple[str, int]]:
    columns = rows.select(["_producer", "_seq"])  # type: ignore[attr-defined]
    return zip(*(column.to_pylist() for column in columns.columns), strict=True)


def read_status(directory: str, variant: str) -> str:
    """Reads run.yaml."""
    import yaml

    with open(os.path.join(_run_dir(directory), "run.yaml")) as file:
        return str(yaml.safe_load(file)["status"])
