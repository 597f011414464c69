"""What a killed run has left on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmark.child import load
from benchmark.contestants import Contestant
from benchmark.tasks.killed import COUNT_FILE


def run(contestant: Contestant, directory: str, params: dict[str, Any]) -> dict[str, Any]:
    """Counts the rows and reads the status."""
    module = load(contestant)
    logged = int(Path(directory).with_name(COUNT_FILE).read_text())
    rows = _or_error(module.count_rows, directory, contestant.variant)
    return {
        "logged": logged,
        "survived": rows,
        "lost": logged - rows if isinstance(rows, int) else None,
        "status": _or_error(module.read_status, directory, contestant.variant),
    }


def _or_error(read: Any, directory: str, variant: str) -> Any:
    try:
        return read(directory, variant)
    except Exception as exc:  # noqa: BLE001 - a run that cannot be read is a finding
        return f"cannot be read: {type(exc).__name__}: {exc}"[:200]
