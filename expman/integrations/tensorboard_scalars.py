"""The file that `SummaryWriter.export_scalars_to_json` writes."""

from __future__ import annotations

import json
import os

from expman.reading.run import Run

__all__ = ["write_scalars"]


def write_scalars(run_dir: str, path: str | os.PathLike[str]) -> None:
    """Writes the rows of a run: `{"DIRECTORY/TAG": [[time, step, value], …]}`, as tensorboardX."""
    found = {}
    table = Run(run_dir).vectors()
    times = [moment.timestamp() for moment in table["timestamp"].to_pylist()]
    steps = table["step"].to_pylist()
    for tag in table.column_names:
        if tag not in ("step", "timestamp"):
            values = zip(times, steps, table[tag].to_pylist(), strict=True)
            points = [[time, step, value] for time, step, value in values if value is not None]
            found[f"{run_dir}/{tag}"] = points
    with open(path, "w") as file:
        json.dump(found, file)
