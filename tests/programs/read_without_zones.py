"""Reads a run in every way, where neither the system nor a package has a time-zone database.

Usage: read_without_zones.py BASE_DIR RUN_DIR
"""

from __future__ import annotations

import sys

import expman
from expman.cli.commands import run


class Hidden:
    """Finds nothing for the packages that bring time zones."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] in ("tzdata", "pytz"):
            raise ModuleNotFoundError(name)


def main(base_dir: str, run_dir: str) -> None:
    """Runs the commands and the readers; ends with an exception if one does."""
    sys.meta_path.insert(0, Hidden())  # type: ignore[arg-type]
    for command in (["ls"], ["show", "r"], ["tail", "r"], ["plot", "r"]):
        assert run([*command, "-d", base_dir]) == 0
    for kind in ("csv", "json", "parquet", "tensorboard"):
        assert run(["export", "r", "-f", kind, "-o", f"out.{kind}", "-d", base_dir]) == 0
    one = expman.Run(run_dir)
    times = one.to_pandas()["timestamp"].dt.year.tolist()
    assert len(times) == one.to_polars().height
    assert len(times) == len(list(one.follow())) == len(expman.read_metrics(run_dir))
    assert expman.runs(base_dir, since="2020-01-01")


if __name__ == "__main__":
    main(*sys.argv[1:])
