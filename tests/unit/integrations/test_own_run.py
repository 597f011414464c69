"""The run that an integration logs to."""

from __future__ import annotations

import copy
import pickle
import threading
from pathlib import Path

import pytest

from expman.integrations.own_run import OwnRun

pytestmark = pytest.mark.usefixtures("standing_writer")


def test_threads_begin_one_run(run_base: Path) -> None:
    """Optuna calls its callbacks from several threads: all log to one run."""
    own = OwnRun("e", None, {"base_dir": str(run_base), "quiet": True})
    barrier = threading.Barrier(4)

    def begin() -> None:
        barrier.wait()
        own.begin("r")

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    own.end()
    assert ["r"] == [path.name for path in (run_base / "e").iterdir() if path.is_dir()]


def test_it_can_be_copied_and_pickled(run_base: Path) -> None:
    """Frameworks copy their callbacks, and send them to other processes."""
    own = OwnRun("e", None, {"base_dir": str(run_base), "quiet": True})
    for number, other in enumerate((copy.deepcopy(own), pickle.loads(pickle.dumps(own)))):
        other.begin(f"r{number}")
        other.end()
        assert (run_base / "e" / f"r{number}" / "run.yaml").exists()
