"""Catalogs, imports and rows with Ray are what they are without it, also if a worker is killed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import StartProgram
from scale.some_runs import cataloged, make_runs, parts

import expman
from expman import catalog

pytestmark = [pytest.mark.clusters, pytest.mark.timeout(600)]
DATA = Path(__file__).parents[1] / "data" / "imports"


def test_many_runs_on_ray(
    program: StartProgram, run_base: Path, tmp_path: Path, ray_env: dict[str, str]
) -> None:
    """The catalog, the rows of runs of different columns, and imported runs."""
    make_runs(run_base)
    (tmp_path / "flag").touch()
    done = program(
        "scale/on_ray.py",
        *(run_base, DATA / "tensorboard", tmp_path / "flag"),
        env=ray_env,
        python=os.environ["EXPMAN_CLUSTERS_PYTHON"],
    ).succeed(500)
    assert not (tmp_path / "flag").exists()
    found, imported, before = done.splitlines()[-3:]
    assert "catalog 40 40 1 35 1 0" == found
    assert "imported ['tensors', 'torch']" == imported
    assert "as before {None}" == before
    assert 2 == len(expman.runs(run_base, experiment="imported"))

    on_ray, rows = cataloged(run_base), parts(run_base)
    for path in (run_base / ".catalog").iterdir():
        path.unlink()
    catalog.build(run_base)
    assert cataloged(run_base).equals(on_ray)
    assert parts(run_base) == rows
