"""What integrations do without their framework: logging, structlog, the run of an integration."""

from __future__ import annotations

import importlib
import logging
import pickle
import sys
from pathlib import Path

import pytest
from run_files import run_yaml

import expman
from expman import Experiment, ExperimentConfig, LoggingEngine, Run
from expman.integrations.logging import RunLogHandler
from expman.integrations.own_run import OwnRun
from expman.integrations.structlog import RunLogProcessor

pytestmark = pytest.mark.usefixtures("standing_writer")

FRAMEWORKS = {
    "accelerate": "accelerate",
    "hydra": "hydra-core",
    "keras": "keras",
    "lightning": "lightning",
    "mlflow": "mlflow",
    "optuna": "optuna",
    "ray_train": "'ray[train]'",
    "ray_tune": "'ray[tune]'",
    "transformers": "transformers",
    "xgboost": "xgboost",
}


def lines(run_dir: str) -> list[tuple[str, str]]:
    return [(str(entry.level), entry.message) for entry in Run(run_dir).log()]


@pytest.fixture
def logger() -> logging.Logger:
    """A logger of its own, which passes nothing on."""
    found = logging.Logger("train", logging.DEBUG)
    found.propagate = False
    return found


def test_records_of_logging_become_lines(run_base: Path, logger: logging.Logger) -> None:
    """With level, name and traceback; what comes after the end is left out."""
    with Experiment("e", "r", str(run_base), quiet=True) as run:
        logger.addHandler(RunLogHandler(run))
        logger.debug("d")
        logger.warning("w %d", 1)
        try:
            raise ValueError("odd")
        except ValueError:
            logger.exception("caught")
    logger.error("too late")

    (debug, warning, error) = lines(run.run_dir)
    assert [("INFO", "train: d"), ("WARN", "train: w 1")] == [debug, warning]
    assert "ERROR" == error[0]
    assert error[1].startswith("train: caught\nTraceback")
    assert error[1].endswith("ValueError: odd")


def test_the_handler_follows_the_current_run(run_base: Path, logger: logging.Logger) -> None:
    """Without a run it does nothing; expman's own records are left out."""
    handler = RunLogHandler(level=logging.INFO)
    logger.addHandler(handler)
    logger.info("no run")
    run = expman.init("e", "r", str(run_base), quiet=True)
    logger.info("in it")
    logger.debug("too low")
    handler.handle(logging.makeLogRecord({"name": "expman.notices", "msg": "ours", "levelno": 30}))
    expman.close()
    logger.info("no run")

    assert [("INFO", "train: in it")] == lines(run.run_dir)


def test_a_record_that_cannot_be_formatted(
    run_base: Path, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goes to handleError, as logging's rule is, and costs nothing else."""
    failed: list[logging.LogRecord] = []
    with Experiment("e", "r", str(run_base), quiet=True) as run:
        handler = RunLogHandler(run)
        monkeypatch.setattr(handler, "handleError", failed.append)
        logger.addHandler(handler)
        logger.info("%d", "no number")
        logger.info("next")

    assert 1 == len(failed)
    assert [("INFO", "train: next")] == lines(run.run_dir)


def test_structlog_events_become_lines(run_base: Path) -> None:
    """The event passes on unchanged."""
    with LoggingEngine(ExperimentConfig("e", str(run_base), run_name="r")) as engine:
        process = RunLogProcessor(engine)
        event = {"event": "epoch", "loss": 0.5}
        assert event is process(None, "info", event)
        process(None, "warning", {"event": "slow"})
        process(None, "exception", {"event": "bad"})
    process(None, "info", event)

    expected = [("INFO", "epoch loss=0.5"), ("WARN", "slow"), ("ERROR", "bad")]
    assert expected == lines(engine.run_dir)


def test_a_run_that_was_given_is_not_ended(run_base: Path) -> None:
    """end() lets go of it; one of its own ends."""
    with Experiment("e", "given", str(run_base), quiet=True) as run:
        own = OwnRun("e", run, {})
        assert run.engine is own.begin() is own.begin()
        own.log({"loss": 1.0}, 0)
        own.end(ValueError("odd"))
        assert run.engine.is_open
        own.log({"loss": 2.0}, 1)  # there is no run: nothing happens
    assert 1 == run_yaml(Path(run.run_dir))["rows_logged"]


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [(None, "FINISHED", None), (ValueError("odd"), "FAILED", "ValueError: odd")],
)
def test_a_run_of_its_own(
    run_base: Path, error: BaseException | None, status: str, reason: str | None
) -> None:
    """It begins with a safe name, and ends with the status of the training."""
    own = OwnRun("e", None, {"base_dir": str(run_base), "quiet": True})
    own.begin("out/my/model\n")
    own.end(error)

    found = run_yaml(run_base / "e" / "model_")
    assert (status, reason) == (found["status"], found["reason"])


def test_the_current_run_comes_before_one_of_its_own(run_base: Path) -> None:
    """A script that calls init() has all its records in that run."""
    run = expman.init("e", "r", str(run_base), quiet=True)
    own = OwnRun("other", None, {"base_dir": str(run_base), "quiet": True})
    assert run.engine is own.begin()
    own.end()
    run.close()
    assert run.engine is not own.begin()
    own.end()


def test_nothing_raises_once_it_has_begun(run_base: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A value, a file or a run that is gone costs a warning."""
    own = OwnRun("e", None, {"base_dir": str(run_base), "run_name": "r", "quiet": True})
    engine = own.begin()
    own.log({"loss": 1.0, "odd": [1], 3: 2}, 0)
    own.log({"odd": [1]}, 1)
    own.save_artifact("/nowhere/file")
    engine.close()
    own.log({"loss": 1.0}, 2)
    own.log({"loss": 1.0}, 3)
    own.end()

    assert [("WARN", "not numbers or text, left out: odd")] == lines(engine.run_dir)
    assert {"loss", "3"} == set(run_yaml(Path(engine.run_dir))["vectors"])
    assert 2 == len(caplog.records)


def test_names_that_every_row_has(run_base: Path) -> None:
    """Frameworks log metrics as `step`: such a name costs neither its value nor the row."""
    own = OwnRun("e", None, {"base_dir": str(run_base), "run_name": "r", "quiet": True})
    engine = own.begin()
    own.log({"step": 3, "timestamp": 1.5, "": 2, "loss": 1.0}, 0)
    own.end()

    row = {"step_": 3, "timestamp_": 1.5, "_": 2, "loss": 1.0}
    assert row == run_yaml(Path(engine.run_dir))["vectors"]


def test_a_framework_with_several_runs_joins_none(run_base: Path) -> None:
    """Ray Tune has a run per trial, whatever run is the current one."""
    settings = {"base_dir": str(run_base), "run_name": "r", "quiet": True}
    with expman.init("e", "current", str(run_base), quiet=True) as run:
        own = OwnRun("e", None, settings, joins=False)
        assert own.begin() is not run.engine
        own.end()
        assert OwnRun("e", None, settings).for_another_process().begin() is run.engine


def test_in_another_process_it_is_a_run_that_was_given(run_base: Path) -> None:
    """A trainer that is pickled to a child does not begin a second run there, nor end this one."""
    own = OwnRun("e", None, {"base_dir": str(run_base), "run_name": "r", "quiet": True})
    engine = own.begin()
    other = pickle.loads(pickle.dumps(own))
    assert other.begin().run_dir == engine.run_dir
    other.end()
    assert engine.is_open
    own.end()


def test_entry_points_do_nothing_without_a_run() -> None:
    """Lightning and MLflow import them in any program: that brings no framework, no callback."""
    before = set(sys.modules)
    stores = importlib.import_module("expman.integrations.mlflow_stores")
    lightning = importlib.import_module("expman.integrations.lightning_callbacks")

    assert [] == lightning.callbacks()
    assert callable(stores.tracking_store)
    assert set() == {"lightning", "mlflow", "pyarrow"} & (set(sys.modules) - before)


@pytest.mark.parametrize(("framework", "package"), FRAMEWORKS.items())
def test_a_framework_that_is_not_there(
    framework: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says what to install."""
    imported = framework.partition("_")[0]
    for name in list(sys.modules):
        if name.partition(".")[0] in {imported, "lightning_fabric", "pytorch_lightning"}:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, imported, None)
    monkeypatch.delitem(sys.modules, f"expman.integrations.{framework}", raising=False)

    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module(f"expman.integrations.{framework}")

    expected = f"expman.integrations.{framework} needs {imported}: pip install {package}"
    assert expected == str(caught.value)
