"""What the tests of frameworks ask about the runs of a training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from conftest import Program

import expman
from expman import Run

__all__ = ["TIMEOUT_S", "Train", "column", "kept", "messages", "runs_of"]

TIMEOUT_S = 500

Train = Callable[..., Program]


def runs_of(base: Path) -> dict[str, Run]:
    """The runs of a base directory by name."""
    return {run.name: run for run in expman.runs(str(base))}


def column(run: Run, name: str) -> list[object]:
    """The steps of the rows that have a metric."""
    table = run.vectors(["step", name])
    pairs = zip(table["step"].to_pylist(), table[name].to_pylist(), strict=True)
    return [step for step, value in pairs if value is not None]


def messages(run: Run) -> list[str]:
    """The lines of run.log."""
    return [entry.message for entry in run.log()]


def kept(run: Run) -> list[str]:
    """The files in artifacts/."""
    place = Path(run.path) / "artifacts"
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())
