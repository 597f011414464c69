"""Project, tags and description of a live run; sweeps; projects of experiments."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from run_files import log_lines, run_yaml

import expman
from expman import ConfigError, Experiment, ExperimentConfig, LoggingEngine, RunClosedError

pytestmark = pytest.mark.usefixtures("standing_writer")


def experiment_yaml(base: Path, name: str) -> dict[str, object]:
    found = yaml.safe_load((base / name / "experiment.yaml").read_text())
    assert isinstance(found, dict)
    return found


def test_a_live_run_is_described_anew(run_base: Path) -> None:
    """Each call counts in its turn; a tag that is there already stays where it is."""
    config = ExperimentConfig("e", str(run_base), run_name="r", project="P", tags=("a",))
    with LoggingEngine(config) as engine:
        engine.add_tags(["b", "a"])
        engine.set_project("Q")
        engine.set_description("new")

    found = run_yaml(run_base / "e" / "r")
    assert (["a", "b"], "Q", "new") == (found["tags"], found["project"], found["description"])
    assert "Q" == experiment_yaml(run_base, "e")["project"]


@pytest.mark.parametrize("text", ["\x85", "a\u2028b", "\u2029", "\ufeff", "\t", "a\nb"])
def test_any_text_is_kept(run_base: Path, text: str) -> None:
    """Also what YAML takes for the end of a line; in the trainer's first run.yaml, too."""
    config = ExperimentConfig("e", str(run_base), run_name="r", tags=(text,), description=text)
    with LoggingEngine(config) as engine:
        first = run_yaml(Path(engine.run_dir))
        engine.set_project(f"p{text}q")
    found = run_yaml(Path(engine.run_dir))

    assert ([text], text) == (first["tags"], first["description"])
    expected = [text], text, f"p{text}q"
    assert expected == (found["tags"], found["description"], found["project"])


def test_tags_are_replaced_and_taken_away(run_base: Path) -> None:
    """None and no tags stand in run.yaml as null."""
    with Experiment("e", "r", str(run_base), project="P", tags=["a"], quiet=True) as run:
        run.set_tags(["x", "y", "x"])
        run.flush()
        assert ["x", "y"] == run_yaml(Path(run.run_dir))["tags"]
        run.set_tags([])
        run.set_project(None)
        run.set_description(None)
        assert run.project is None

    found = run_yaml(run_base / "e" / "r")
    assert [None] * 3 == [found[key] for key in ("tags", "project", "description")]
    assert experiment_yaml(run_base, "e")["project"] is None


def test_a_project_leaves_the_rest_of_experiment_yaml(run_base: Path) -> None:
    """A run's project goes into the file that a user has edited."""
    expman.assign_project("e", "old", run_base)
    path = run_base / "e" / "experiment.yaml"
    path.write_text("display_name: Mine\nown: [1, 2]\n")
    Experiment("e", "r", str(run_base), project="new", quiet=True).close()

    assert {"display_name": "Mine", "own": [1, 2], "project": "new"} == experiment_yaml(
        run_base, "e"
    )


def test_a_damaged_experiment_yaml_costs_a_line(run_base: Path) -> None:
    """The run goes on; run.log says that the project is in run.yaml only."""
    (run_base / "e").mkdir(parents=True)
    (run_base / "e" / "experiment.yaml").write_text("{")
    Experiment("e", "r", str(run_base), project="P", quiet=True).close()

    assert "P" == run_yaml(run_base / "e" / "r")["project"]
    lines = log_lines(run_base / "e" / "r")
    assert any("the project is in run.yaml only" in line for line in lines)
    assert "{" == (run_base / "e" / "experiment.yaml").read_text()


@pytest.mark.parametrize("tags", [{"a": 1}, [1], 3])
def test_bad_tags_raise_at_the_call(run_base: Path, tags: object) -> None:
    """Nothing changes then, and after close() every call raises."""
    run = Experiment("e", "r", str(run_base), tags=["a"], quiet=True)
    with pytest.raises(ConfigError, match="tags"):
        run.set_tags(tags)  # type: ignore[arg-type]
    run.close()
    assert ["a"] == run_yaml(run_base / "e" / "r")["tags"]
    with pytest.raises(RunClosedError):
        run.add_tags("b")


def test_what_an_experiment_knows_of_its_run(
    run_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """project, group, rank, is_primary, and a directory for event files."""
    monkeypatch.setenv("EXPMAN_RANK", "1")
    monkeypatch.setenv("EXPMAN_GROUP", "g")
    with Experiment("e", "r", str(run_base), project="P", quiet=True) as run:
        assert ("P", "g", 1, False) == (run.project, run.group, run.rank, run.is_primary)
        assert os.path.isdir(run.tensorboard_dir)
        assert os.path.join(run.run_dir, "tensorboard") == run.tensorboard_dir


def test_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers are numbers, names are in lower case; outside a sweep there is nothing."""
    assert ({}, None) == (expman.sweep_params(), expman.sweep_name())
    given = {"LR": "1e-3", "bs": "32", "opt": "adam", "flag": "true", "empty": ""}
    for name, text in given.items():
        monkeypatch.setenv(f"EXPMAN_PARAM_{name}", text)
    monkeypatch.setenv("EXPMAN_SWEEP", "s")

    expected = {"lr": 0.001, "bs": 32, "opt": "adam", "flag": "true", "empty": ""}
    assert expected == expman.sweep_params()
    assert "s" == expman.sweep_name()


def test_projects(tmp_path: Path) -> None:
    """Described by expman-rs's dashboard, or named by an experiment."""
    for name, project in {"one": "P", "two": "P", "three": None}.items():
        expman.assign_project(name, project, tmp_path)
    home = tmp_path / ".projects" / "Q"
    home.mkdir(parents=True)
    (home / "project.yaml").write_text("display_name: Quick\ntags: [t]\ngenerated: true\n")

    first, second = expman.load_projects(tmp_path)
    assert ("P", ["one", "two"], None) == tuple(
        first[key] for key in ("id", "experiments", "display_name")
    )
    assert ("Q", [], "Quick", ["t"], True) == tuple(
        second[key] for key in ("id", "experiments", "display_name", "tags", "generated")
    )
    assert [] == expman.load_projects(tmp_path / "absent")
