"""Best numbers found by a look at one line are those that the parsed file has."""

from __future__ import annotations

from pathlib import Path

import pytest
from unit.reading.run_files import make_run

from expman.metadata import MetricBest
from expman.reading.fields import SUFFIXES
from expman.reading.quick_best import best_number
from expman.reading.runyaml import RunYaml

NAMES = ("loss", "loss2", "val/loss", "a.b", "x", "with space", "ä", "1", "min", "true")


@pytest.mark.parametrize("number", [0.5, -3, 1e-20, 1e300, 12345678901234567890, 0])
def test_the_line_is_the_file(tmp_path: Path, number: float) -> None:
    """Or it is left to the parser: odd names, and metrics that are not there."""
    best = {
        name: MetricBest(min=number, min_step=place, max=number, max_step=None, last=2.5)
        for place, name in enumerate(NAMES)
    }
    run_dir = make_run(tmp_path, best=best, description="best:\n  loss: {min: 9}\n")
    yaml = RunYaml(str(run_dir))
    whole = yaml.whole["best"]
    assert isinstance(whole, dict)
    quick = 0
    for name in (*NAMES, "los", "group", "hostname"):
        for suffix in SUFFIXES:
            found = best_number(yaml, name, suffix)
            assert found is None or whole[name][suffix] == found
            quick += found is not None
    assert quick >= 12


def test_files_of_others_are_parsed(tmp_path: Path) -> None:
    """What has no rows_logged was written by expman-rs."""
    (tmp_path / "run.yaml").write_bytes(b"a: 1\nbest:\n  loss: {min: 0.5}\n")
    assert best_number(RunYaml(str(tmp_path)), "loss", "min") is None
