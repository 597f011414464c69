"""LoggingEngine: each call through a real writer, and what the files say afterwards."""

from __future__ import annotations

import datetime
import enum
import inspect
import itertools
import math
import os
import pickle
import re
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import StartProgram
from run_files import log_lines, params, rows, run_yaml, table

from expman import (
    ArtifactError,
    ExperimentConfig,
    ExpmanError,
    FlushError,
    LoggingEngine,
    LogLevel,
    RecordTooLargeError,
    Run,
    RunClosedError,
    RunEndedError,
    RunExistsError,
    RunStatus,
    StorageError,
)

Start = Callable[..., LoggingEngine]

pytestmark = pytest.mark.usefixtures("standing_writer")


@pytest.fixture
def start(run_base: Path) -> Start:
    """Starts an engine in this test's base directory."""

    def start_engine(run_name: str | None = "run", **settings: Any) -> LoggingEngine:
        return LoggingEngine(ExperimentConfig("exp", str(run_base), run_name=run_name, **settings))

    return start_engine


@pytest.mark.usefixtures("own_writer")
def test_a_run_from_start_to_end(start: Start, run_base: Path) -> None:
    """The files of a run are those of docs/reference/files.md, with what was logged."""
    with start(tags=("a", "b"), description="first try") as engine:
        assert str(run_base / "exp" / "run") == engine.run_dir
        assert "RUNNING" == run_yaml(engine.run_dir)["status"]
        engine.log_params({"lr": 0.1})
        engine.log_vector({"loss": 0.5, "n": 1}, step=0)
        engine.log_vector({"loss": 0.25}, 1)
        engine.log_scalar("best", 0.25)
        engine.log_message(LogLevel.INFO, "half way")

    names = {"run.yaml", "config.yaml", "vectors.parquet", "run.log"}
    assert names == set(os.listdir(engine.run_dir))
    assert {"experiment.yaml", "run"} == set(os.listdir(run_base / "exp"))
    assert [(0, {"loss": 0.5, "n": 1}), (1, {"loss": 0.25})] == rows(engine.run_dir)
    assert ["[INFO] half way"] == log_lines(engine.run_dir)
    assert {"lr": 0.1} == params(engine.run_dir)
    found = run_yaml(engine.run_dir)
    expected = {
        "name": "run",
        "experiment": "exp",
        "status": "FINISHED",
        "reason": None,
        "description": "first try",
        "tags": ["a", "b"],
        "scalars": {"best": 0.25},
        "vectors": {"loss": 0.25, "n": 1},
        "language": "python",
        "rows_logged": 2,
        "rows_written": 2,
        "rows_dropped": 0,
        "writer_restarts": 0,
    }
    assert expected == {key: found[key] for key in expected}
    started, finished = (
        datetime.datetime.fromisoformat(found[key]) for key in ("started_at", "finished_at")
    )
    assert started <= finished
    assert found["duration_secs"] >= 0


@pytest.mark.usefixtures("own_writer")
def test_an_empty_run(start: Start) -> None:
    """A run that logs nothing is FINISHED and has no table."""
    engine = start()
    engine.close()
    assert ("FINISHED", 0) == (
        run_yaml(engine.run_dir)["status"],
        run_yaml(engine.run_dir)["rows_logged"],
    )
    assert not os.path.exists(os.path.join(engine.run_dir, "vectors.parquet"))


def test_what_a_metric_may_be(start: Start) -> None:
    """Each kind comes back as itself; numpy's scalars by their value at the call."""
    changing = np.array(1.5)
    values: dict[str, Any] = {
        "float": 0.1,
        "nan": math.nan,
        "inf": -math.inf,
        "int": 2**63 - 1,
        "least": -(2**63),
        "true": True,
        "text": "größe\n",
        "empty": "",
        "np.float32": np.float32(0.5),
        "np.int8": np.int8(-3),
        "np.bool": np.bool_(False),
        "0-d": changing,
        "a/b c.d": 1,
    }
    with start() as engine:
        engine.log_vector(values, 7)
        changing[...] = 9
    [(step, found)] = rows(engine.run_dir)
    expected = {**values, "np.float32": 0.5, "np.int8": -3, "np.bool": False, "0-d": 1.5}
    assert 7 == step
    assert math.isnan(found.pop("nan"))
    del expected["nan"]
    assert expected == found
    assert [type(value) for value in expected.values()] == [type(v) for v in found.values()]
    assert list(values) == [n for n in table(engine.run_dir).column_names if n in values]


@pytest.mark.parametrize(
    ("values", "step", "kind", "words"),
    [
        ({"a": None}, 0, TypeError, "metric 'a': cannot log None; expected a float"),
        ({"a": [1]}, 0, TypeError, "metric 'a'"),
        ({"a": np.zeros(2)}, 0, TypeError, "metric 'a'"),
        ({"a": 1j}, 0, TypeError, "metric 'a'"),
        ({"ok": 1, "a": b"x"}, 0, TypeError, "metric 'a'"),
        ({1: 2.0}, 0, TypeError, "metric name 1 is int, not text"),
        ({"": 2.0}, 0, ValueError, "is empty"),
        ({"step": 2.0}, 0, ValueError, "'step' is a column of every run"),
        ({"_seq": 2.0}, 0, ValueError, "'_seq' is a column of every run"),
        ([("a", 1)], 0, TypeError, "takes a mapping"),
        ({"a": 1}, 1.5, TypeError, "step 1.5"),
        ({"a": 1}, "1", TypeError, "step '1'"),
        ({"a": 1}, 2**64, ValueError, "step 18446744073709551616"),
    ],
)
def test_a_callers_mistake_raises_and_costs_no_other_row(
    engine_with_a_row: LoggingEngine,
    values: Any,
    step: Any,
    kind: type[Exception],
    words: str,
) -> None:
    """The error names the key or the step; the fast path refuses as the slow one does."""
    for _ in range(2):
        with pytest.raises(kind) as caught:
            engine_with_a_row.log_vector(values, step)
        assert words in str(caught.value)
        engine_with_a_row.log_vector({"a": 1.0}, 1)
        engine_with_a_row.log_vector({"a": 1.0}, 1)


@pytest.fixture(scope="module")
def engine_with_a_row(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An engine whose fast path expects {"a": number}; at its end it has all rows, and no more."""
    engine = LoggingEngine(ExperimentConfig("exp", str(tmp_path_factory.mktemp("mistakes"))))
    engine.log_vector({"a": 1.0}, 1)
    yield engine
    engine.close()
    found = rows(engine.run_dir)
    assert len(found) % 4 == 1
    assert [(1, {"a": 1.0})] * len(found) == found


def test_the_engines_own_log_vector_is_documented(engine_with_a_row: Any) -> None:
    """The function that saves a call has the method's name, text and arguments."""
    function, method = engine_with_a_row.log_vector, LoggingEngine.log_vector
    assert method.__doc__ == function.__doc__
    assert ("log_vector", method.__qualname__) == (function.__name__, function.__qualname__)
    parameters = list(inspect.signature(method).parameters.values())
    assert parameters[1:] == list(inspect.signature(function).parameters.values())
    with pytest.raises(TypeError, match=r"^LoggingEngine\.log_vector\(\) got an unexpected"):
        function({"a": 1.0}, steps=1)


def test_steps(start: Start) -> None:
    """Any order, twice, none, numpy's: each call is one row, in the order of the calls."""
    given = [3, 1, 1, None, -5, np.int64(8), 2.0, 2**63 - 1]
    with start() as engine:
        for number, step in enumerate(given):
            engine.log_vector({"n": number}, step)  # type: ignore[arg-type]
    expected = [3, 1, 1, None, -5, 8, 2, 2**63 - 1]
    assert [(step, {"n": n}) for n, step in enumerate(expected)] == rows(engine.run_dir)
    assert list(range(8)) == table(engine.run_dir)["_seq"].to_pylist()


def test_a_row_without_metrics_is_a_row(start: Start) -> None:
    """It has its step, and counts."""
    with start() as engine:
        engine.log_vector({}, 4)
        engine.log_vector({"a": 1.0}, 5)
    assert [(4, {}), (5, {"a": 1.0})] == rows(engine.run_dir)


def test_threads_log_into_one_run(start: Start) -> None:
    """Every row of every thread is there once, each thread's in its order."""
    each, threads = 300, 4

    def work(number: int) -> None:
        for step in range(each):
            engine.log_vector({f"t{number % 2}": float(number)}, step)

    with start() as engine:
        workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    found = rows(engine.run_dir)
    assert list(range(each * threads)) == table(engine.run_dir)["_seq"].to_pylist()
    for number in range(threads):
        mine = [step for step, values in found if values == {f"t{number % 2}": float(number)}]
        assert list(range(each)) == mine


def test_scalars(start: Start) -> None:
    """The latest value counts, with its kind; unusable ones raise and name the key."""
    with start() as engine:
        engine.log_scalar("a", 1)
        engine.log_scalar("a", 2.5)
        engine.log_scalar("b", True)
        engine.log_scalar("c", "text")
        engine.log_scalar("d", np.float64(math.inf))
        engine.log_scalar("e", 2**63 - 1)
        for key, value, kind in [("", 1, ValueError), (3, 1, TypeError), ("x", None, TypeError)]:
            with pytest.raises(kind, match="metric"):
                engine.log_scalar(key, value)  # type: ignore[arg-type]
    expected = {"a": 2.5, "b": True, "c": "text", "d": math.inf, "e": 2**63 - 1}
    assert expected == run_yaml(engine.run_dir)["scalars"]


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Optimizer:
    name: str
    betas: tuple[float, float]


class Opaque:
    def __str__(self) -> str:
        return "opaque"


def test_parameters(start: Start) -> None:
    """Nested values stay nested; what is no plain value becomes its text, and run.log says so."""
    with start() as engine:
        engine.log_params(
            {
                "lr": 1e-05,
                "model": {"layers": [1, 2], "act": None, "x": {"y": (True, "no")}},
                "when": datetime.date(2026, 1, 31),
                "at": datetime.datetime(2026, 1, 31, 12, 30, tzinfo=datetime.UTC),
                "path": Path("a/b"),
                "colour": Colour.RED,
                "opt": Optimizer("adam", (0.9, 0.999)),
                "np": np.float32(0.5),
                "huge": 2**100,
                "table": {0: "cat", -1: {"1": "dog"}},
                "set": {"b", "a"},
                "hostile": ["1e5", "0o7", "2026-01-01", "a: b", "<<"],
            }
        )
        engine.log_params({"lr": 0.5, "other": Opaque()})
        for wrong in ([1], {3: "three"}):
            with pytest.raises(TypeError, match=r"not (list|text)"):
                engine.log_params(wrong)
    expected = {
        "lr": 0.5,
        "model": {"layers": [1, 2], "act": None, "x": {"y": [True, "no"]}},
        "when": datetime.date(2026, 1, 31),
        "at": datetime.datetime(2026, 1, 31, 12, 30, tzinfo=datetime.UTC),
        "path": "a/b",
        "colour": "red",
        "opt": {"name": "adam", "betas": [0.9, 0.999]},
        "np": 0.5,
        "huge": 2**100,
        "table": {0: "cat", -1: {"1": "dog"}},
        "set": ["a", "b"],
        "hostile": ["1e5", "0o7", "2026-01-01", "a: b", "<<"],
        "other": "opaque",
    }
    assert expected == params(engine.run_dir)
    assert expected == Run(engine.run_dir).config
    [line] = log_lines(engine.run_dir)
    assert line.startswith("[WARN] parameter other: ")


def test_messages(start: Start) -> None:
    """Any case of the level, any text; a level that is none raises."""
    with start() as engine:
        engine.log_message(LogLevel.WARN, "one")
        engine.log_message("error", "two\n[2026-01-31T12:00:00.000Z] [INFO] forged")
        engine.log_message("INFO", 3)  # type: ignore[arg-type]
        engine.log_message("INFO", "file \udc80")
        with pytest.raises(ValueError, match="'debug' is not known; use one of INFO"):
            engine.log_message("debug", "no such level")
    expected = [
        "[WARN] one",
        "[ERROR] two",
        "    [2026-01-31T12:00:00.000Z] [INFO] forged",
        "[INFO] 3",
        "[INFO] file \\udc80",
    ]
    assert expected == log_lines(engine.run_dir)


def test_text_with_lone_surrogates_is_kept_as_escapes(start: Start) -> None:
    """A name of a file that is no UTF-8 costs its odd characters, not the row or the run."""
    with start() as engine:
        for step in range(2):
            engine.log_vector({"a": "\udc80", "k\udc80": 1.0}, step)
        engine.log_scalar("s\udc80", "\udc80")
        engine.log_params({"p\udc80": ["\udc80", {"\udc80": Path("\udc80")}]})
        engine.close("FAILED", reason="cannot read '\udc80'")
    assert [(step, {"a": "\\udc80", "k\\udc80": 1.0}) for step in range(2)] == rows(engine.run_dir)
    found = run_yaml(engine.run_dir)
    assert ({"s\\udc80": "\\udc80"}, "cannot read '\\udc80'") == (found["scalars"], found["reason"])
    assert {"p\\udc80": ["\\udc80", {"\\udc80": "\\udc80"}]} == params(engine.run_dir)


def test_artifacts(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files and directories, by relative and absolute path and by name, as they were then."""
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    Path("out/model.bin").write_bytes(b"weights")
    Path("out/notes.txt").write_text("notes")
    with start() as engine:
        engine.save_artifact("out/model.bin")
        engine.save_artifact(tmp_path / "out" / "model.bin")
        engine.save_artifact("out/model.bin", name="last/model.bin")
        engine.save_artifact(tmp_path / "out", "everything")
        Path("out/model.bin").unlink()
        Path("out/model.bin").write_bytes(b"other")
        for path, name, kind in [
            ("absent", None, FileNotFoundError),
            ("out/model.bin", "../x", ValueError),
            ("out/model.bin", "/etc/x", ValueError),
            ("../x", None, ValueError),
        ]:
            with pytest.raises(kind):
                engine.save_artifact(path, name)
    stored = Path(engine.run_dir, "artifacts")
    found = {str(p.relative_to(stored)): p.read_bytes() for p in stored.rglob("*") if p.is_file()}
    expected = {
        "out/model.bin": b"weights",
        "model.bin": b"weights",
        "last/model.bin": b"weights",
        "everything/model.bin": b"weights",
        "everything/notes.txt": b"notes",
    }
    assert expected == found
    assert {"artifacts", "run.log", "run.yaml"} == set(os.listdir(engine.run_dir))


def test_an_artifact_that_vanished_is_said(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no snapshot can be had and the source goes away, it is said, and the run ends."""
    source = tmp_path / "model.bin"
    source.write_bytes(b"weights")
    monkeypatch.setattr("expman.storage.artifacts.snapshot", lambda *_: None)
    engine = start(flush_interval_ms=60_000)
    engine.save_artifact(source)
    source.unlink()
    with pytest.raises(ArtifactError, match=f"{source}: No such file") as caught:
        engine.flush()
    assert (1, engine.run_dir) == (caught.value.count, caught.value.run_dir)
    engine.flush()  # it is raised once
    engine.save_artifact("/proc/self/status", "status")
    engine.close()
    [line] = log_lines(engine.run_dir)
    assert line.startswith(f"[ERROR] artifact {source} could not be stored as model.bin: ")
    found = run_yaml(engine.run_dir)
    assert ("FINISHED", 1) == (found["status"], found["artifacts_missing"])
    assert {"artifacts", "run.log", "run.yaml"} == set(os.listdir(engine.run_dir))


@pytest.mark.parametrize("exc", [None, RuntimeError])
def test_close_raises_for_what_is_missing(
    start: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    exc: type[Exception] | None,
) -> None:
    """Once, and the run has ended; an exception that ends the block comes first."""
    monkeypatch.setattr("expman.storage.artifacts.snapshot", lambda *_: None)
    engine = start()

    def log() -> None:
        with engine:
            for number in range(2):
                path = tmp_path / f"{number}"
                path.touch()
                engine.save_artifact(path, "x" * 200 + f"/{number}")
                path.unlink()
            if exc is not None:
                raise exc

    with pytest.raises(exc or ArtifactError):
        log()
    engine.close()
    found = run_yaml(engine.run_dir)
    status = "FAILED" if exc else "FINISHED"
    assert (status, 2) == (found["status"], found["artifacts_missing"])


def test_an_artifact_that_cannot_be_read(start: Start, tmp_path: Path) -> None:
    """The caller hears of it at the call, as of one that is not there."""
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with start() as engine, pytest.raises(OSError, match="symbolic links"):
        engine.save_artifact(loop)


def test_flush_makes_everything_durable(start: Start, tmp_path: Path) -> None:
    """When it returns, every kind of record is in the files of the live run."""
    source = tmp_path / "a.txt"
    source.write_text("a")
    with start(flush_interval_rows=10**6, flush_interval_ms=10**6) as engine:
        for number in range(3):
            engine.log_vector({"n": number}, number)
            engine.log_scalar("s", number)
            engine.log_params({"p": number})
            engine.log_message("INFO", f"m{number}")
            engine.save_artifact(source, f"a{number}.txt")
            engine.flush()
            found = run_yaml(engine.run_dir)
            assert ("RUNNING", {"s": number}) == (found["status"], found["scalars"])
            assert number + 1 == found["rows_written"]
            assert {"p": number} == params(engine.run_dir)
            assert f"[INFO] m{number}" == log_lines(engine.run_dir)[-1]
            assert Path(engine.run_dir, "artifacts", f"a{number}.txt").exists()


@pytest.mark.parametrize("status", [RunStatus.FAILED, "failed", "Crashed", "FINISHED"])
def test_close_with_a_status(start: Start, status: RunStatus | str) -> None:
    """A status or its name in any case, and a reason."""
    engine = start()
    engine.close(status, reason="because")
    found = run_yaml(engine.run_dir)
    assert (str(status).upper(), "because") == (found["status"], found["reason"])


def test_close_refuses_what_is_no_end(start: Start) -> None:
    """The run then goes on, and can be closed."""
    with start() as engine:
        for status in ("RUNNING", "done"):
            with pytest.raises(ValueError, match=r"RUNNING|done"):
                engine.close(status)
        engine.log_vector({"a": 1.0})
    assert [(None, {"a": 1.0})] == rows(engine.run_dir)


def test_close_twice(start: Start) -> None:
    """The first status stays."""
    engine = start()
    engine.close()
    engine.close(RunStatus.FAILED, reason="too late")
    with engine:
        pass
    found = run_yaml(engine.run_dir)
    assert ("FINISHED", None) == (found["status"], found["reason"])


def test_nothing_can_be_logged_after_close(start: Start, tmp_path: Path) -> None:
    """Each call raises RunClosedError, which names the run; the fast path too."""
    source = tmp_path / "a.txt"
    source.write_text("a")
    engine = start()
    log_vector = engine.log_vector
    log_vector({"a": 1.0}, 0)
    log_vector({"a": 1.0}, 1)
    engine.close()
    calls: list[Callable[[], object]] = [
        lambda: log_vector({"a": 1.0}, 2),
        lambda: engine.log_vector({"b": 1.0}),
        lambda: engine.log_scalar("a", 1),
        lambda: engine.log_params({"a": 1}),
        lambda: engine.log_message("INFO", "a"),
        lambda: engine.save_artifact(source),
        lambda: engine.flush(),
    ]
    for call in calls:
        with pytest.raises(RunClosedError) as caught:
            call()
        assert engine.run_dir == caught.value.run_dir
    assert 2 == len(rows(engine.run_dir))
    assert {"run.log", "run.yaml", "vectors.parquet"} == set(os.listdir(engine.run_dir))


def test_an_exception_makes_it_failed(start: Start) -> None:
    """The reason is one line: type, message, place. The exception goes on."""
    engine = start()
    engine.log_vector({"loss": math.nan}, 0)
    with pytest.raises(ArithmeticError), engine:
        raise ArithmeticError("the loss is\nnot a number")
    found = run_yaml(engine.run_dir)
    assert "FAILED" == found["status"]
    expected = "ArithmeticError: the loss is not a number (at test_engine.py:"
    assert found["reason"].startswith(expected)
    first, *_, last = log_lines(engine.run_dir)
    assert "[ERROR] an exception ended the run:" == first
    assert f"[ERROR] run FAILED: {found['reason']}" == last
    assert 1 == len(rows(engine.run_dir))


@pytest.mark.parametrize(
    ("code", "status"), [(0, "FINISHED"), (None, "FINISHED"), (3, "FAILED"), ("text", "FAILED")]
)
def test_leaving_the_block_by_system_exit(start: Start, code: object, status: str) -> None:
    """Exit status 0 is a success."""
    engine = start()
    with pytest.raises(SystemExit), engine:
        raise SystemExit(code)
    assert status == run_yaml(engine.run_dir)["status"]


def test_an_interrupt_makes_it_failed(start: Start) -> None:
    """Ctrl-C has a type and no message."""
    engine = start()
    with pytest.raises(KeyboardInterrupt), engine:
        raise KeyboardInterrupt
    found = run_yaml(engine.run_dir)
    assert "FAILED" == found["status"]
    assert found["reason"].startswith("KeyboardInterrupt (at ")


def test_a_run_name_that_is_taken(start: Start) -> None:
    """The run that is there is left alone, whatever state it is in."""
    with start() as first:
        first.log_vector({"a": 1.0})
        with pytest.raises(RunExistsError) as caught:
            start()
        assert first.run_dir == caught.value.run_dir
    with pytest.raises(RunExistsError):
        start()
    assert [(None, {"a": 1.0})] == rows(first.run_dir)


def test_runs_of_one_second_never_share_a_directory(start: Start) -> None:
    """Each gets a suffix of its own, and keeps its own rows."""
    engines = [start(suffix_if_taken=True) for _ in range(3)]
    for number, engine in enumerate(engines):
        engine.log_vector({"n": number})
        engine.close()
    assert ["run", "run-1", "run-2"] == [engine.config.run_name for engine in engines]
    assert ["run", "run-1", "run-2"] == [run_yaml(engine.run_dir)["name"] for engine in engines]
    assert [[(None, {"n": n})] for n in range(3)] == [rows(engine.run_dir) for engine in engines]


def test_the_name_latest_counts_as_taken(start: Start) -> None:
    """A log directory, or another tracker's name, may be that: the run gets a suffix."""
    engines = [start(run_name="latest", suffix_if_taken=True) for _ in range(2)]
    for engine in engines:
        engine.close()
    assert ["latest-1", "latest-2"] == [engine.config.run_name for engine in engines]


def test_two_runs_named_by_the_clock(start: Start) -> None:
    """Without a name there is never a RunExistsError."""
    with start(None) as one, start(None) as other:
        assert one.run_dir != other.run_dir


@pytest.mark.parametrize("below", ["", "exp", "exp/run"])
def test_a_base_directory_that_cannot_be_used(run_base: Path, start: Start, below: str) -> None:
    """A file in the way is found at once, by an error that names the path; nothing is started."""
    path = run_base / below
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("a file")
    with pytest.raises((StorageError, RunExistsError)) as caught:
        start()
    assert str(run_base) in str(caught.value)
    assert "a file" == path.read_text()


def test_a_record_that_is_too_large(start: Start) -> None:
    """It raises with the sizes, and the run goes on."""
    with start(max_buffer_bytes=64 * 1024) as engine:
        engine.log_vector({"a": 1.0}, 0)
        with pytest.raises(RecordTooLargeError) as caught:
            engine.log_message("INFO", "x" * 100_000)
        assert (64 * 1024, True) == (caught.value.limit_bytes, caught.value.record_bytes > 100_000)
        engine.log_vector({"a": 2.0}, 1)
    assert [(0, {"a": 1.0}), (1, {"a": 2.0})] == rows(engine.run_dir)


@pytest.mark.usefixtures("own_writer")
def test_the_smallest_buffer_loses_nothing(start: Start) -> None:
    """With overflow="block" a full buffer waits for the writer."""
    count = 20_000
    with start(max_buffer_bytes=64 * 1024) as engine:
        for step in range(count):
            engine.log_vector({"a": float(step)}, step)
    found = table(engine.run_dir)
    assert list(range(count)) == found["step"].to_pylist()
    assert list(range(count)) == found["_seq"].to_pylist()
    assert 0 == run_yaml(engine.run_dir)["rows_dropped"]


@pytest.mark.usefixtures("own_writer")
def test_dropped_rows_are_counted(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """With overflow="drop" each row is in the file or in the count, and the user is told."""
    count = 50_000
    with start(max_buffer_bytes=64 * 1024, overflow="drop") as engine:
        for step in range(count):
            engine.log_vector({"a": float(step)}, step)
    found = run_yaml(engine.run_dir)
    written = table(engine.run_dir)
    assert found["rows_dropped"] > 0
    assert (count, written.num_rows) == (
        found["rows_dropped"] + written.num_rows,
        found["rows_written"],
    )
    assert count == found["rows_logged"]
    steps = written["step"].to_pylist()
    assert steps == written["_seq"].to_pylist()
    assert steps == sorted(set(steps))
    told = re.findall(r"([\d,]+) rows? dropped", "\n".join(log_lines(engine.run_dir)))
    assert found["rows_dropped"] == sum(int(count.replace(",", "")) for count in told)
    assert f"{found['rows_dropped']:,} rows of {engine.run_dir} were dropped" in caplog.text


def test_flush_without_time_says_where_the_data_is(start: Start) -> None:
    """FlushError names the run, what is missing and the command that recovers; nothing is lost."""
    with start(flush_interval_rows=10**6, flush_interval_ms=10**6) as engine:
        engine.log_vector({"a": 1.0}, 0)
        with pytest.raises(FlushError, match="expman-writer recover") as caught:
            engine.flush(timeout_s=0)
        assert engine.run_dir == caught.value.run_dir
        engine.log_vector({"a": 2.0}, 1)
    assert [(0, {"a": 1.0}), (1, {"a": 2.0})] == rows(engine.run_dir)


@pytest.mark.usefixtures("own_writer")
def test_a_directory_that_cannot_be_written_for_a_while(start: Start) -> None:
    """Logging goes on; flush() tells; once it can be written again nothing is missing."""
    with start() as engine:
        engine.log_vector({"a": 0.0}, 0)
        engine.flush()
        away = engine.run_dir + "-away"
        os.rename(engine.run_dir, away)
        Path(engine.run_dir).write_text("in the way")
        for step in range(1, 100):
            engine.log_vector({"a": float(step)}, step)
        with pytest.raises(FlushError, match="another directory is at this path"):
            engine.flush(timeout_s=2)
        os.unlink(engine.run_dir)
        os.rename(away, engine.run_dir)
        engine.flush()
    assert [(step, {"a": float(step)}) for step in range(100)] == rows(engine.run_dir)
    assert any("cannot write, rows wait" in line for line in log_lines(engine.run_dir))


def test_rows_with_changing_metrics(start: Start) -> None:
    """Sets of metrics that alternate, in any order of keys, come back row by row."""
    keys = ["a", "b", "c"]
    sets = [s for n in range(4) for s in itertools.permutations(keys, n)]
    expected = []
    with start() as engine:
        for step in range(3 * len(sets)):
            row = {key: float(step) for key in sets[step % len(sets)]}
            engine.log_vector(row, step)
            expected.append((step, row))
    assert expected == rows(engine.run_dir)


def test_its_text_names_the_run(start: Start) -> None:
    """For a notebook or a log."""
    with start() as engine:
        assert f"LoggingEngine({engine.run_dir!r})" == repr(engine)


@pytest.mark.usefixtures("own_writer")  # files have modes by the umask of the writer
@pytest.mark.parametrize("umask", [0o002, 0o027])
def test_modes_are_what_the_umask_leaves(start: Start, run_base: Path, umask: int) -> None:
    """For each file and directory, at any time; a setgid bit is handed on."""

    def wrong() -> dict[str, str]:
        modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in (run_base / "exp").rglob("*")}
        return {
            path.name: oct(mode)
            for path, mode in modes.items()
            if mode != (0o2777 if path.is_dir() else 0o666) & ~umask
        }

    run_base.mkdir()
    run_base.chmod(0o2770)
    before = os.umask(umask)
    try:
        engine = start()
        for rows_logged in range(3):
            engine.log_params({"a": 1})
            engine.log_vector({"a": 1.0}, rows_logged)
            engine.log_message("INFO", "m")
            engine.flush()
            assert {} == wrong()
        engine.close()
        assert {} == wrong()
    finally:
        os.umask(before)
    names = {"run", "run.yaml", "config.yaml", "run.log", "vectors.parquet", "experiment.yaml"}
    assert names <= {path.name for path in (run_base / "exp").rglob("*")}


def refusals(engine: LoggingEngine) -> list[type[Exception]]:
    """What each call raises."""
    calls: list[Callable[[], object]] = [
        lambda: engine.log_vector({"a": 1.0}, 1),
        lambda: engine.log_scalar("a", 1),
        lambda: engine.log_params({"a": 1}),
        lambda: engine.log_message("INFO", "m"),
        lambda: engine.save_artifact(__file__),
        lambda: engine.flush(),
    ]
    raised = []
    for call in calls:
        with pytest.raises(ExpmanError) as caught:
            call()
        raised.append(caught.type)
    return raised


@pytest.mark.parametrize("elsewhere", [False, True])
def test_an_engine_is_unpickled_after_its_run(
    start: Start, program: StartProgram, tmp_path: Path, elsewhere: bool
) -> None:
    """A checkpoint that holds it loads, in this process or another one; logging raises."""
    engine = start(tags=["a"])
    living = pickle.dumps(engine)
    assert engine is pickle.loads(living)
    engine.close()
    files = sorted(os.listdir(engine.run_dir))
    if elsewhere:
        (tmp_path / "checkpoint").write_bytes(living)
        code = """if True:
            import pickle, sys
            engine = pickle.load(open(sys.argv[1], "rb"))
            try:
                engine.log_vector({"a": 1.0})
            except Exception as exc:
                print(type(exc).__name__, engine.config.tags)
            """
        assert "RunEndedError ('a',)\n" == program(["-c", code], tmp_path / "checkpoint").succeed()
    for pickled in (living, pickle.dumps(engine), pickle.dumps(pickle.loads(living))):
        again = pickle.loads(pickled)
        assert [RunEndedError] * 4 + [RunClosedError, RunEndedError] == refusals(again)
        assert (engine.run_dir, engine.config) == (again.run_dir, again.config)
        assert (None, None) == (again.durable_seq, again.durable_step)
        again.close()
        with again:
            pass
    assert files == sorted(os.listdir(engine.run_dir))
    assert "FINISHED" == run_yaml(engine.run_dir)["status"]


def test_an_engine_that_cannot_be_joined_is_unpickled(start: Start) -> None:
    """Whatever is wrong with its address, it is the logging that says so."""
    engine = start()
    engine.close()
    function, (_, *rest) = engine.__reduce__()  # type: ignore[misc]
    for address in ("", "shm:nonsense", "file:/nowhere:" + "0" * 32 + "#0"):
        refusals(function(address, *rest))  # type: ignore[operator]
