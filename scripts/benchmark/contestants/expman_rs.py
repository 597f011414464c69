"""expman-rs, whose package is called expman, too."""

from __future__ import annotations

import re
from pathlib import Path


class _Run:
    def __init__(self, directory: str) -> None:
        import expman

        self._experiment = expman.Experiment("bench", base_dir=directory)
        self.log = self._experiment.log_vector

    def close(self) -> None:
        self._experiment.close()


def open_run(directory: str, variant: str) -> _Run:
    """Opens a run through its Python class."""
    return _Run(directory)


def _run_dir(directory: str) -> Path:
    return next(path for path in Path(directory, "bench").iterdir() if path.is_dir())


def count_rows(directory: str, variant: str) -> int:
    """Counts the rows of vectors.parquet and of the Arrow streams beside it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    steps: set[int] = set()
    run_dir = _run_dir(directory)
    for path in sorted(run_dir.glob("*.arrow")):
        try:
            with pa.ipc.open_stream(path.read_bytes()) as batches:
                for batch in batches:
                    steps.update(batch.column("step").to_pylist())
        except (FileNotFoundError, pa.ArrowInvalid, OSError):
            pass  # a batch that is being written
    try:
        steps.update(pq.read_table(run_dir / "vectors.parquet").column("step").to_pylist())
    except FileNotFoundError:
        pass
    return len(steps)


def read_status(directory: str, variant: str) -> str:
    """Reads run.yaml."""
    text = (_run_dir(directory) / "run.yaml").read_text()
    match = re.search(r"^status:\s*(\S+)", text, re.MULTILINE)
    return match[1] if match else "none"
