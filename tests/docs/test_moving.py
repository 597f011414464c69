"""The commands of docs/how-to/moving.md do what the page says."""

from __future__ import annotations

import re
import shlex
import shutil
import sqlite3
from pathlib import Path

import pytest
from cli.conftest import Expman
from cli.conftest import expman_command as expman_command
from unit.reading.run_files import block, make_run

import expman

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "moving.md"
DATA = Path(__file__).resolve().parents[1] / "data" / "imports"
COMMANDS = re.findall(r"^\$ expman (.+)$", PAGE.read_text(), re.MULTILINE)


def lay(home: Path) -> None:
    """What the page's commands work on, in the directory where they run."""
    shutil.copytree(DATA / "tensorboard", home / "logs")
    shutil.copytree(DATA / "wandb", home / "wandb")
    shutil.copytree(DATA / "mlflow" / "files", home / "mlruns")
    shutil.copytree(DATA / "neptune", home / "exports")
    store = sqlite3.connect(home / "mlflow.db")
    store.executescript((DATA / "mlflow" / "store.sql").read_text())
    store.close()
    trackio = home / ".cache" / "huggingface" / "trackio"
    shutil.copytree(DATA / "trackio", trackio)
    projects = sqlite3.connect(trackio / "digits.db")
    projects.executescript((DATA / "trackio" / "digits.sql").read_text())
    projects.close()
    (home / "results.csv").write_text("step,loss\n0,1.0\n")
    (home / "lightning_logs" / "version_0").mkdir(parents=True)
    (home / "lightning_logs" / "version_0" / "metrics.csv").write_text("step,loss\n0,1.0\n")
    make_run(home / "experiments", "r", block(0, {"loss": [1.0]}), experiment="mnist")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command(
    command: str, expman_command: Expman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each works as it stands there, and makes what it names."""
    lay(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    words = shlex.split(command)
    arguments = [str(Path(word).expanduser()) if "/" in word else word for word in words]
    before = len(expman.runs(tmp_path / "experiments"))
    result = expman_command(*arguments)
    assert 0 == result.code, result.err
    if arguments[0] == "export":
        assert Path(arguments[-1]).exists()
        return
    made = {line.rpartition(": ")[0] for line in result.out.splitlines()}
    assert len(expman.runs(tmp_path / "experiments")) == before + len(made) > before


def test_the_page_has_all_formats() -> None:
    """Every format of the command is there."""
    from expman.importers.formats import FINDERS

    text = PAGE.read_text().lower()
    assert [] == [name for name in FINDERS if name not in text]
    assert 9 <= len(COMMANDS)
