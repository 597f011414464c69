"""A run that lives while a test reads it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from process.runs import Writer, wait_until


def start(program, run_base: Path):  # type: ignore[no-untyped-def]
    """A live run whose rows are all in vectors.parquet, and its trainer."""
    trainer = program("log_all_kinds.py", run_base)
    run_dir = Path(trainer.read_line())
    wait_until((run_dir / "vectors.parquet").exists, "the first vectors.parquet")
    return trainer, run_dir


def finish(trainer) -> None:  # type: ignore[no-untyped-def]
    trainer.send_line("end")
    trainer.expect_line("ended")
    trainer.succeed()


@contextmanager
def stopped(writer: Writer) -> Iterator[None]:
    """Stops the writer for a while: no file changes between two looks."""
    os.kill(writer.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(writer.pid, signal.SIGCONT)
