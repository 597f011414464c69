"""Starts the program of a framework with the interpreter that has the frameworks."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
from conftest import Program, StartProgram
from integrations.trainings import Train

import expman


@pytest.fixture
def train(program: StartProgram, run_base: Path, tmp_path: Path) -> Train:
    """Starts the program of a framework, which keeps its runs in `run_base`.

    With several modes they run one after the other, each with a base directory of its own: its
    name is the mode.
    """

    def start(framework: str, *modes: str, env: dict[str, str] | None = None) -> Program:
        place = Path(__file__).parents[1] / "programs" / "frameworks"
        path = place / f"with_{framework}.py"
        package = Path(expman.__file__).parents[1]
        extra = [env.pop("PYTHONPATH")] if env and "PYTHONPATH" in env else []
        settings = {
            "PYTHONPATH": os.pathsep.join([str(package), *extra]),
            "EXPMAN_BASE_DIR": str(run_base),
            "EXPMAN_QUIET": "1",
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",  # threads for tiny tensors spin more than they compute
            "HOME": str(tmp_path),
            **(env or {}),
        }
        python = os.environ["EXPMAN_FRAMEWORKS_PYTHON"]
        command = [str(path), str(run_base), str(tmp_path / "out"), *(modes or ["ok"])]
        if len(modes) > 1:
            command.insert(0, str(place / "in_forks.py"))
        return program(command, python=python, env=settings, cwd=tmp_path)

    return start


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """The environment of a program that finds expman's entry points, as if it were installed."""
    settings = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    name, version = settings["name"], settings["version"]
    points: list[str] = []
    for group, entries in settings["entry-points"].items():
        points += [f"[{group}]", *(f"{key} = {place}" for key, place in entries.items())]
    info = tmp_path / "site" / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text("\n".join([*points, ""]))
    return {"PYTHONPATH": str(tmp_path / "site")}
