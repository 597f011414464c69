"""Experiment, init() and the functions of the module: the names that expman-rs users know."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import pydoc
import re
import threading
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from run_files import log_lines, params, rows, run_yaml

import expman
from expman import (
    ConfigError,
    Experiment,
    FlushError,
    NoActiveRunError,
    RunClosedError,
    RunEndedError,
    RunStatus,
)

DEADLINE_S = 120.0

pytestmark = pytest.mark.usefixtures("standing_writer")


@pytest.fixture(autouse=True)
def no_current_run() -> Iterator[None]:
    """No test leaves a current run to the next one."""
    yield
    expman.close()


@pytest.fixture
def base(run_base: Path) -> str:
    return str(run_base)


# The public surface of the Python package of expman-rs 1.3.0: names in order, with defaults.
NEEDED = inspect.Parameter.empty
OF_A_RUN = {
    "name": NEEDED,
    "run_name": None,
    "base_dir": "experiments",
    "flush_interval_rows": 50,
    "flush_interval_ms": 500,
    "redirect_console": True,
    "project": None,
    "tags": None,
    "description": None,
    "heartbeat_interval_secs": 30,
    "group": None,
    "rank": None,
    "system_metrics_interval_secs": 15,
    "capture_provenance": True,
    "capture_diff": False,
}
# The name may come from EXPMAN_EXPERIMENT. None is what a variable says, else what expman-rs does.
OTHER_DEFAULTS = {
    "name": "",
    "tags": (),
    "redirect_console": None,
    "system_metrics_interval_secs": None,
    "capture_provenance": None,
    "capture_diff": None,
}
METHODS: dict[str, dict[str, Any]] = {
    "log_params": {"params": NEEDED},
    "log_vector": {"values": NEEDED, "step": None},
    "log_scalar": {"key": NEEDED, "value": NEEDED},
    "save_artifact": {"path": NEEDED},
    "info": {"message": NEEDED},
    "warn": {"message": NEEDED},
    "close": {"status": "FINISHED", "reason": None},
    "fail": {"reason": None},
}
FUNCTIONS: dict[str, dict[str, Any]] = {
    **METHODS,
    "init": OF_A_RUN,
    "tensorboard_dir": {},
    "sweep_params": {},
    "sweep_name": {},
    "load_projects": {"base_dir": "experiments"},
    "load_provenance": {"run_dir": NEEDED},
    "read_system_metrics": {"run_dir": NEEDED, "to_pandas": False},
    "assign_project": {"experiment": NEEDED, "project": NEEDED, "base_dir": "experiments"},
}
METHODS |= {
    "set_project": {"project": NEEDED},
    "set_tags": {"tags": NEEDED},
    "add_tags": {"tags": NEEDED},
    "set_description": {"description": NEEDED},
}


def check_signature(function: Any, expected: dict[str, Any]) -> None:
    """The parameters come first, can be given by position and name, and have their defaults."""
    actual = list(inspect.signature(function).parameters.values())
    assert list(expected) == [p.name for p in actual[: len(expected)]]
    for parameter in actual[: len(expected)]:
        assert inspect.Parameter.POSITIONAL_OR_KEYWORD == parameter.kind
        if expected is OF_A_RUN:
            default = OTHER_DEFAULTS.get(parameter.name, expected[parameter.name])
            assert default == parameter.default
        else:
            assert expected[parameter.name] == parameter.default
    assert all(parameter.default is not NEEDED for parameter in actual[len(expected) :])


def test_signatures_are_those_of_expman_rs(base: str) -> None:
    """Code written for it runs unchanged; what is not available yet is off by default."""
    check_signature(Experiment, OF_A_RUN)
    for name, expected in FUNCTIONS.items():
        check_signature(getattr(expman, name), expected)
    with Experiment("exp", base_dir=base) as run:
        for name, expected in METHODS.items():
            check_signature(getattr(run, name), expected)
        assert isinstance(run.run_dir, str)
        assert isinstance(run.run_name, str)
    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    assert tomllib.loads(pyproject.read_text())["project"]["version"] == expman.__version__


def test_a_run(base: str, tmp_path: Path) -> None:
    """Each method does what LoggingEngine's does."""
    source = tmp_path / "a.txt"
    source.write_text("a")
    run = Experiment("exp", "first", base, 10, 100, tags=["t"], description="d")
    assert ("first", str(Path(base, "exp", "first"))) == (run.run_name, run.run_dir)
    assert f"Experiment({run.run_dir!r})" == repr(run)
    run.log_params(params={"lr": 0.1})
    run.log_vector(values={"loss": 0.5}, step=0)
    run.log_vector({"loss": 0.25})
    run.log_scalar(key="best", value=0.25)
    run.save_artifact(path=str(source))
    run.info(message="one")
    run.warn(message="two")
    run.error("three")
    run.flush()
    assert 2 == run_yaml(run.run_dir)["rows_written"]
    run.close(status="FINISHED")
    found = run_yaml(run.run_dir)
    assert ("FINISHED", ["t"], "d", {"best": 0.25}) == (
        found["status"],
        found["tags"],
        found["description"],
        found["scalars"],
    )
    assert [(0, {"loss": 0.5}), (None, {"loss": 0.25})] == rows(run.run_dir)
    assert ["[INFO] one", "[WARN] two", "[ERROR] three"] == log_lines(run.run_dir)
    assert {"lr": 0.1} == params(run.run_dir)
    assert "a" == Path(run.run_dir, "artifacts", "a.txt").read_text()


def test_the_config_of_a_live_run(base: str) -> None:
    """What was recorded so far, as it is kept; changing it changes nothing."""
    with Experiment("exp", base_dir=base, config={"lr": 0.1, "net": {"layers": (1, 2)}}) as run:
        run.log_params({"lr": 0.2, "seed": 1})
        expected = {"lr": 0.2, "net": {"layers": [1, 2]}, "seed": 1}
        assert expected == run.config
        run.config["net"].clear()  # type: ignore[attr-defined]
        assert expected == run.config
    assert expected == expman.Run(run.run_dir).config


def test_settings_reach_the_engine(base: str) -> None:
    """What Experiment takes is what ExperimentConfig gets."""
    with Experiment("exp", "r", Path(base), 7, 8, max_buffer_bytes=2**20, overflow="drop") as run:
        config = run.engine.config
        assert ("exp", "r", base, 7, 8, 2**20, "drop") == (
            config.name,
            config.run_name,
            config.base_dir,
            config.flush_interval_rows,
            config.flush_interval_ms,
            config.max_buffer_bytes,
            config.overflow,
        )


def test_expman_rs_settings_by_position(base: str) -> None:
    """All fifteen have their place; what this release cannot do is taken if it asks for nothing."""
    run = Experiment("exp", "r", base, 7, 8, False, "p", ["t"], "d", 30, "g", 1, 0, False, False)
    run.close()
    found = run_yaml(run.run_dir)
    expected = {"project": "p", "tags": ["t"], "description": "d", "group": "g", "rank": 1}
    assert expected == {key: found[key] for key in expected}
    assert "r-rank1" == run.run_name


def test_parameters_at_the_start(base: str) -> None:
    """`config` is logged as parameters; what cannot be logged raises, and the run is FAILED."""
    with expman.init("exp", base_dir=base, config={"lr": 0.1}) as run:
        assert isinstance(run, Experiment)
    assert {"lr": 0.1} == params(run.run_dir)
    with pytest.raises(TypeError):
        expman.init("exp", "bad", base, config=3)
    assert "FAILED" == run_yaml(Path(base, "exp", "bad"))["status"]


def test_log_is_log_vector(base: str) -> None:
    """The name that one types first: on the engine, on the run and in the module."""
    with expman.init("exp", base_dir=base) as run:
        run.log({"a": 1}, step=0)
        run.engine.log({"a": 2}, 1)
        expman.log({"a": 3}, step=2)
        expman.log({"a": 4})
    assert [(0, {"a": 1}), (1, {"a": 2}), (2, {"a": 3}), (None, {"a": 4})] == rows(run.run_dir)


@pytest.mark.parametrize("kind", [Experiment, expman.LoggingEngine])
def test_help_lists_what_logs(kind: type) -> None:
    """help() of the class has every method with its signature and a text."""
    text = pydoc.plain(pydoc.render_doc(kind))
    for name in ("log", "log_vector", "log_params", "log_scalar", "save_artifact", "flush"):
        assert f" {name}(self, " in text
        assert inspect.getdoc(getattr(kind, name))
    assert ["self", "values", "step"] == list(inspect.signature(kind.log_vector).parameters)
    assert "Durability: published" in pydoc.plain(pydoc.render_doc(kind.log_vector))


def test_a_second_init_warns(base: str, caplog: pytest.LogCaptureFixture) -> None:
    """It ends the first run, and the warning names both; after close() there is none."""
    first = expman.init("exp", "1", base)
    second = expman.init("exp", "2", base)
    assert "FINISHED" == run_yaml(first.run_dir)["status"]
    [said] = caplog.messages
    assert f"init() ended run {first.run_dir}, because run {second.run_dir} begins" in said
    second.close()
    expman.init("exp", "3", base)
    expman.close()
    expman.init("exp", "4", base)
    assert 1 == len(caplog.messages)


@pytest.mark.parametrize("status", ["FAILED", "crashed", RunStatus.FINISHED])
def test_statuses_are_strings(base: str, status: str) -> None:
    """In any case, with a reason."""
    run = Experiment("exp", base_dir=base)
    run.close(status, "because")
    found = run_yaml(run.run_dir)
    assert (status.upper(), "because") == (found["status"], found["reason"])
    run.close("FAILED")
    assert found == run_yaml(run.run_dir)


def test_a_status_that_is_none(base: str) -> None:
    """It raises, and the run goes on."""
    with Experiment("exp", base_dir=base) as run:
        with pytest.raises(ValueError, match="status 'done'; use FINISHED, FAILED or CRASHED"):
            run.close("done")
        run.log_vector({"a": 1.0})
    assert "FINISHED" == run_yaml(run.run_dir)["status"]


def test_fail(base: str) -> None:
    """A short way to FAILED."""
    run = Experiment("exp", base_dir=base)
    run.fail("no data")
    found = run_yaml(run.run_dir)
    assert ("FAILED", "no data") == (found["status"], found["reason"])
    with pytest.raises(RunClosedError):
        run.info("too late")


def test_an_exception_in_the_block(base: str) -> None:
    """As LoggingEngine: FAILED with the reason."""
    run = Experiment("exp", base_dir=base)
    with pytest.raises(ArithmeticError), run:
        raise ArithmeticError("diverged")
    found = run_yaml(run.run_dir)
    assert "FAILED" == found["status"]
    assert found["reason"].startswith("ArithmeticError: diverged (at ")


def test_the_reason_names_the_users_line(base: str) -> None:
    """Where expman itself refuses a value, the place is the call, not a line of expman."""
    run = Experiment("exp", base_dir=base)
    with pytest.raises(TypeError), run:
        run.log({"loss": None})
    assert re.search(r" \(at test_experiment\.py:\d+\)$", run_yaml(run.run_dir)["reason"])


@pytest.mark.parametrize("text", ["", "  \t"])
def test_a_project_of_blanks(base: str, text: str) -> None:
    """It is refused, here and later; blanks around a project are left out."""
    with pytest.raises(ConfigError, match=r"^project=.*: must not be blank; leave it out"):
        Experiment("exp", base_dir=base, project=text)
    run = Experiment("exp", base_dir=base, project=" vision ")
    with pytest.raises(ConfigError, match=r"^project="):
        run.set_project(text)
    run.close()
    assert "vision" == run_yaml(run.run_dir)["project"]


def test_the_module_functions(base: str, tmp_path: Path) -> None:
    """They do the same to the current run."""
    source = tmp_path / "a.txt"
    source.write_text("a")
    run = expman.init("exp", base_dir=base)
    expman.log_params(params={"lr": 0.1})
    expman.log_vector(values={"loss": 0.5}, step=3)
    expman.log_vector({"loss": 0.25})
    expman.log_scalar(key="best", value=0.25)
    expman.save_artifact(path=str(source))
    expman.save_artifact(str(source), "b.txt")
    expman.info("one")
    expman.warn("two")
    expman.error("three")
    expman.close()
    found = run_yaml(run.run_dir)
    assert ("FINISHED", {"best": 0.25}) == (found["status"], found["scalars"])
    assert [(3, {"loss": 0.5}), (None, {"loss": 0.25})] == rows(run.run_dir)
    assert ["[INFO] one", "[WARN] two", "[ERROR] three"] == log_lines(run.run_dir)
    assert {"lr": 0.1} == params(run.run_dir)
    stored = Path(run.run_dir, "artifacts")
    assert {"a.txt", "b.txt"} == {path.name for path in stored.iterdir()}


def test_init_closes_the_run_before(base: str) -> None:
    """One run is current at a time."""
    first = expman.init("exp", "first", base)
    expman.log_vector({"n": 1})
    second = expman.init("exp", "second", base)
    expman.log_vector({"n": 2})
    assert "FINISHED" == run_yaml(first.run_dir)["status"]
    expman.fail("enough")
    found = run_yaml(second.run_dir)
    assert ("FAILED", "enough") == (found["status"], found["reason"])
    assert [(None, {"n": 1})] == rows(first.run_dir)
    assert [(None, {"n": 2})] == rows(second.run_dir)


def test_init_that_fails_leaves_no_current_run(base: str) -> None:
    """What is logged next does not go into the run before, which has been closed."""
    first = expman.init("exp", "first", base)
    with pytest.raises(expman.RunExistsError):
        expman.init("exp", "first", base)
    assert "FINISHED" == run_yaml(first.run_dir)["status"]
    with pytest.raises(NoActiveRunError):
        expman.info("nowhere")


def test_a_current_run_that_was_closed(base: str) -> None:
    """Closing the object is as good as expman.close(); the next init() starts afresh."""
    with expman.init("exp", "first", base):
        expman.info("one")
    with pytest.raises(RunClosedError, match="first"):
        expman.info("two")
    expman.init("exp", "second", base)
    expman.info("three")


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("log_vector", ({"a": 1},)),
        ("log_scalar", ("a", 1)),
        ("log_params", ({"a": 1},)),
        ("save_artifact", ("a",)),
        ("info", ("a",)),
        ("warn", ("a",)),
        ("error", ("a",)),
    ],
)
def test_without_a_run(function: str, arguments: tuple[object, ...]) -> None:
    """The error names the function and the way to a run."""
    with pytest.raises(NoActiveRunError) as caught:
        getattr(expman, function)(*arguments)
    assert function == caught.value.function
    assert f"expman.{function}()" in str(caught.value)


def test_close_again_after_it_failed(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A close() that fails leaves the run the current one: the next close() waits for it."""
    run = expman.init("exp", base_dir=base)
    expman.log_vector({"x": 1.0})
    with pytest.raises(ValueError, match="DONE"):
        expman.close("DONE")
    expman.log_vector({"x": 2.0})
    with monkeypatch.context() as patch:
        patch.setattr(run, "close", lambda *ending: Experiment.close(run, *ending, timeout_s=0))
        with pytest.raises(FlushError):
            expman.close()
    with pytest.raises(RunClosedError):
        expman.log_vector({"x": 3.0})
    expman.close()
    assert [1.0, 2.0] == [values["x"] for _, values in rows(run.run_dir)]
    with pytest.raises(NoActiveRunError):
        expman.log_vector({"x": 4.0})


def test_close_and_fail_without_a_run() -> None:
    """There is nothing to end, and that is fine."""
    expman.close()
    expman.fail("nothing")


def in_threads(*works: Callable[[], None]) -> None:
    """Runs each in a thread of its own, and raises what they raised."""
    with ThreadPoolExecutor(len(works)) as pool:
        for done in [pool.submit(work) for work in works]:
            done.result(DEADLINE_S)


def numbers(run_name: str, base: str) -> list[float]:
    """What was logged as n into a run."""
    return [values["n"] for _, values in rows(Path(base, "exp", run_name))]


def test_init_in_threads(base: str) -> None:
    """Each thread has its own current run; one that has ended it has none."""
    together = threading.Barrier(2)

    def trial(name: str) -> None:
        expman.init("exp", name, base)
        together.wait(DEADLINE_S)
        for _ in range(5):
            expman.log_vector({"n": float(name)})
        together.wait(DEADLINE_S)
        expman.close()
        with pytest.raises(NoActiveRunError):
            expman.log_vector({"n": -1})

    in_threads(lambda: trial("1"), lambda: trial("2"))
    assert [1.0] * 5 == numbers("1", base)
    assert [2.0] * 5 == numbers("2", base)


def test_threads_without_init_have_the_runs_of_the_process(base: str) -> None:
    """A thread's own run leaves the process's as it is."""
    expman.init("exp", "main", base)

    def worker() -> None:
        expman.log_vector({"n": 1})

    def trial() -> None:
        expman.init("exp", "trial", base)
        expman.log_vector({"n": 2})
        expman.init("exp", "next", base)
        expman.log_vector({"n": 3})
        expman.close()

    in_threads(worker, trial)
    assert "FINISHED" == run_yaml(Path(base, "exp", "trial"))["status"]
    expman.log_vector({"n": 4})
    expman.close()
    assert [[1, 4], [2], [3]] == [numbers(name, base) for name in ("main", "trial", "next")]
    with pytest.raises(NoActiveRunError):
        in_threads(worker)


def test_init_in_tasks(base: str) -> None:
    """Each asyncio task has its own current run; those that it starts have it, too."""

    async def child() -> None:
        expman.log_vector({"n": 7})

    async def trial(name: str) -> None:
        expman.init("exp", name, base)
        await asyncio.sleep(0)
        expman.log_vector({"n": float(name)})
        await asyncio.create_task(child())
        expman.close()

    async def study() -> None:
        await asyncio.gather(trial("1"), trial("2"))

    expman.init("exp", "study", base)
    asyncio.run(study())
    expman.log_vector({"n": 3})
    expman.close()
    assert [[1, 7], [2, 7], [3]] == [numbers(name, base) for name in ("1", "2", "study")]


def test_a_task_does_not_go_on_in_the_run_of_another(base: str) -> None:
    """A task that has closed its run has none, although another task's is the process's."""

    async def first(ended: asyncio.Event, begun: asyncio.Event) -> None:
        expman.init("exp", "first", base)
        await begun.wait()
        expman.close()
        with pytest.raises(NoActiveRunError):
            expman.log_vector({"n": 1})
        ended.set()

    async def second(ended: asyncio.Event, begun: asyncio.Event) -> None:
        expman.init("exp", "second", base)
        begun.set()
        await ended.wait()
        expman.log_vector({"n": 2})
        expman.close()

    async def study() -> None:
        events = asyncio.Event(), asyncio.Event()
        await asyncio.gather(first(*events), second(*events))

    asyncio.run(study())
    assert [2] == numbers("second", base)


def test_init_in_a_task_after_a_task(base: str) -> None:
    """The cells of a notebook are tasks, one after the other: a new run closes the one before."""

    async def cell(name: str) -> None:
        expman.init("exp", name, base)

    asyncio.run(cell("1"))
    asyncio.run(cell("2"))
    expman.log_vector({"n": 2})
    assert "FINISHED" == run_yaml(Path(base, "exp", "1"))["status"]
    expman.close()
    assert [2] == numbers("2", base)


def test_an_experiment_is_unpickled_after_its_run(base: str) -> None:
    """It loads; logging raises."""
    run = Experiment("exp", "r", base)
    assert run.engine is pickle.loads(pickle.dumps(run)).engine
    run.close()
    again = pickle.loads(pickle.dumps(run))
    assert ("r", run.run_dir) == (again.run_name, again.run_dir)
    for log in (lambda: again.log_vector({"a": 1}), lambda: again.info("m")):
        with pytest.raises(RunEndedError, match="it has ended"):
            log()
    again.close()


def test_init_with_a_bad_setting_leaves_the_run_before(run_base: Path) -> None:
    """What cannot begin ends nothing."""
    run = expman.init("exp", base_dir=run_base)
    with pytest.raises(ConfigError, match="flush_interval_rows"):
        expman.init("exp", base_dir=run_base, flush_interval_rows=0)
    expman.log({"loss": 0.5}, 1)
    expman.close()
    assert "FINISHED" == run_yaml(Path(run.run_dir))["status"]
