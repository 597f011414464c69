"""Starts the program of a framework with the interpreter that has the frameworks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import Program, StartProgram
from integrations.trainings import Train

import expman


@pytest.fixture
def train(program: StartProgram, run_base: Path, tmp_path: Path) -> Train:
    """Starts the program of a framework, which keeps its runs in `run_base`."""

    def start(framework: str, mode: str = "ok", env: dict[str, str] | None = None) -> Program:
        path = Path(__file__).parents[1] / "programs" / "frameworks" / f"with_{framework}.py"
        package = Path(expman.__file__).parents[1]
        settings = {
            "PYTHONPATH": str(package),
            "EXPMAN_BASE_DIR": str(run_base),
            "EXPMAN_QUIET": "1",
            "HF_HUB_OFFLINE": "1",
            "HOME": str(tmp_path),
            **(env or {}),
        }
        python = os.environ["EXPMAN_FRAMEWORKS_PYTHON"]
        command = [str(path), str(run_base), str(tmp_path / "out"), mode]
        return program(command, python=python, env=settings, cwd=tmp_path)

    return start
