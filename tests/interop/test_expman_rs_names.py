"""Every name of expman-rs 1.3.0 is here, with its parameters in their order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests" / "programs" / "walk_expman_rs.py"
PAGE = ROOT / "docs" / "how-to" / "from-expman-rs.md"

Names = dict[str, list[list[str]]]


def names_of(python: str, directory: Path) -> Names:
    """The names that the expman of an interpreter has."""
    given = {"PYTHONPATH": str(ROOT)} if python == sys.executable else {"PYTHONPATH": ""}
    done = subprocess.run(
        [python, "-P", PROGRAM],
        cwd=directory,
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


@pytest.mark.peers
def test_every_name_of_expman_rs_is_here(tmp_path: Path) -> None:
    """What differs has a line in docs/how-to/from-expman-rs.md, with the name and the parameter."""
    theirs = names_of(os.environ["EXPMAN_RS_PYTHON"], tmp_path)
    ours = names_of(sys.executable, tmp_path)
    assert "Experiment.log_histogram" in theirs

    assert [] == [name for name in theirs if name not in ours]
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    for name, parameters in theirs.items():
        own = ours[name]
        if parameters is None:
            continue
        assert [one for one, _ in parameters] == [one for one, _ in own[: len(parameters)]], name
        short = name.rpartition(".")[2]
        for (parameter, default), (_, here) in zip(parameters, own, strict=False):
            explained = any(f"`{short}`" in row and f"`{parameter}`" in row for row in rows)
            is_value = name.startswith("SummaryWriter.") and any(
                f"`{short}`" in row for row in rows
            )
            assert default == here or explained or is_value, (name, parameter)
