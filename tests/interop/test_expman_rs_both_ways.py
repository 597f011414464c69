"""expman-rs and expman read each other's runs, with the same results from the same functions."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import DEADLINE_S, Program, StartProgram

import expman
from expman.models import RunStatus

pytestmark = pytest.mark.peers

NEW, OLD = "EXPMAN_RS_PYTHON", "EXPMAN_RS_OLD_PYTHON"
LATEST = {"loss": 0.5, "acc": 119.0, "other": 5.0}
Query = Callable[..., Any]
FUNCTIONS = ("read_metrics", "load_run", "load_config", "read_system_metrics", "load_provenance")
TAGS = [
    "arm:tiered AND (study:1 OR study:2)",
    "arm:flat,study:2",
    "study:1|study:2",
    "study:1 OR study:2 AND arm:flat",
    "(arm:tiered AND study:1) OR (arm:flat AND study:2)",
    "NOT study:1",
    "'study:1'",
    "a b OR study:2",
    "",
    ["study:2"],
    ["arm:flat", "study:2"],
]


def peer(variable: str) -> str:
    """The interpreter that has that expman-rs."""
    found = os.environ.get(variable)
    if not found and "peers" not in os.environ.get("EXPMAN_TEST_REQUIRE", ""):
        pytest.skip(f"{variable} names no interpreter")
    assert found, f"{variable} names no interpreter"
    return found


def start_peer(program: StartProgram, variable: str, name: str, *arguments: object) -> Program:
    # Without PYTHONPATH and with -P: its `expman` is the peer's, not ours.
    path = Path(__file__).parents[1] / "programs" / name
    command = ["-P", str(path), *map(str, arguments)]
    return program(command, python=peer(variable), env={"PYTHONPATH": ""})


@pytest.fixture
def query(program: StartProgram) -> Query:
    """Calls a function of expman-rs 1.3.0."""
    answering = start_peer(program, NEW, "query_with_expman_rs.py")

    def call(function: str, *arguments: object, **named: object) -> Any:
        answering.send_line(json.dumps([function, arguments, named]))
        return json.loads(answering.read_line())

    return call


def log_with_peer(program: StartProgram, variable: str, base_dir: Path, name: str) -> Program:
    logging = start_peer(program, variable, "log_with_expman_rs.py", base_dir, name)
    logging.expect_line("logged")
    return logging


def whole_run(base_dir: Path) -> expman.Run | None:
    """The one run, if all that the peer was given is in its files.

    It writes after a while, and expman-rs 0.5.3 in place: a look may find a file empty or torn.
    """
    try:
        (run,) = expman.runs(base_dir, experiment="peer")
        run.vectors()
        return run if run.latest == LATEST else None
    except (ValueError, expman.ExpmanError, OSError):
        return None


def find_run(base_dir: Path) -> expman.Run:
    deadline = time.monotonic() + DEADLINE_S
    while (run := whole_run(base_dir)) is None:
        assert time.monotonic() < deadline, "the peer has not written its run"
        time.sleep(0.01)
    return run


def check_rows(run: expman.Run) -> None:
    """All rows, each once, in the order of logging."""
    table = run.vectors()
    assert ["step", "timestamp", "loss", "acc", "other"] == table.column_names
    # It keeps one row per step in vectors.parquet, and each row in its live tail.
    rows = [row for row in table.to_pylist() if row["step"] is not None]
    merged = {row["step"]: row["loss"] for row in rows}
    assert {**{step: 1 / (step + 1) for step in range(119)}, 119: 0.5} == merged
    assert [5.0] == [row["other"] for row in table.to_pylist() if row["other"] is not None]
    assert 60 == len(run.vectors(["step", "acc"], merge_steps=True)["acc"].drop_null())
    assert table.num_rows == len(list(run.follow(timeout_s=0)))


def kill_between_writes(logging: Program, run_base: Path) -> None:
    """Kills the peer when its files are whole: a kill in the middle of a write tears them."""
    find_run(run_base)
    for _ in range(100):
        logging.send_signal(signal.SIGSTOP)
        time.sleep(0.05)
        if whole_run(run_base) is not None:
            break
        logging.send_signal(signal.SIGCONT)
        time.sleep(0.01)
    logging.kill()


@pytest.mark.parametrize("variable", [NEW, OLD])
@pytest.mark.parametrize("ending", ["close", "fail", "live", "kill"])
def test_we_read_its_runs(
    program: StartProgram, run_base: Path, variable: str, ending: str
) -> None:
    """A run of expman-rs reads correctly, finished, failed, live and killed."""
    logging = log_with_peer(program, variable, run_base, "r")
    if ending == "kill":
        kill_between_writes(logging, run_base)
    elif ending != "live":
        logging.send_line(ending)
        logging.succeed()

    run = find_run(run_base)

    ends = {"close": "FINISHED", "fail": "FAILED" if variable == NEW else "FINISHED"}
    assert RunStatus(ends.get(ending, "RUNNING")) == run.status
    assert {"lr": 1e-5, "n": 3, "on": True, "text": "yes", "day": "2026-01-01"} == run.config
    assert LATEST == run.latest
    check_rows(run)
    if ending in ends:
        assert {"best": 0.5} == run.scalars
        assert "hello" in [entry.message for entry in run.log()]
    if variable == NEW:
        assert (["arm:tiered", "study:1"], "g") == (run.tags, run.group)


@pytest.mark.parametrize("variable", [NEW, OLD])
def test_our_command_reads_its_runs(program: StartProgram, run_base: Path, variable: str) -> None:
    """ls, show, tail and export take a run of expman-rs as one of ours."""
    pytest.importorskip("click")
    log_with_peer(program, variable, run_base, "r")
    env = {"EXPMAN_BASE_DIR": str(run_base)}

    def call(*arguments: str) -> str:
        return program(["-m", "expman.cli", *arguments], env=env).succeed()

    assert "peer" in call("ls")
    assert "loss" in call("show", "r")
    assert "other=5" in call("tail", "r", "-n", "1", "--no-log")
    assert len(call("export", "r", "-f", "json").splitlines()) in (121, 122)


def same(left: object, right: object) -> bool:
    """Equal, floats to the last digit that JSON keeps."""
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=1e-12)
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and left == right


def check_functions(query: Query, base_dir: Path, runs: int) -> None:
    """The functions that read give the same for every run below a base directory."""
    theirs, ours = query("load_runs", str(base_dir)), expman.load_runs(base_dir)
    assert runs == len(ours)
    assert same(theirs, ours), (theirs, ours)
    for run in ours:
        for function in FUNCTIONS:
            found = getattr(expman, function)(run["path"])
            answer = query(function, run["path"])
            if function == "read_metrics":  # it shows booleans as None
                found = [{k: None if v is True else v for k, v in row.items()} for row in found]
            assert same(answer, found), (function, run["path"], answer, found)


def log_ours(base_dir: Path) -> None:
    """Two finished runs of ours with everything that a reader can stumble over."""
    config = expman.ExperimentConfig(
        *("ours", base_dir),
        run_name="a",
        tags=("arm:flat", "study:2"),
        system_metrics_interval_secs=1,
        capture_provenance=True,
        capture_diff=True,
    )
    with expman.LoggingEngine(config) as engine:
        engine.log_params(
            {"lr": 1e-5, "big": 2**63, "text": "1e5", "nan": math.nan, "n": {"a": [1, {"b": 2.5}]}}
        )
        engine.log_vector({"x": 1.0, "n": 1, "b": True, "t": "text"}, 0)
        engine.log_vector({"y": 2.0, "x": math.nan}, 0)
        engine.log_vector({"x": math.inf, "n": 2**60}, 2)
        engine.log_vector({"x": 3.0}, 1)
        engine.log_vector({"x": "text", "t": 5}, -3)
        engine.log_vector({"x": 4.0})
        engine.log_vector({"x": 5.0})
        engine.log_scalar("i", 3)
        engine.log_scalar("b", True)
        engine.log_scalar("nan", math.nan)
    config = expman.ExperimentConfig("ours", base_dir, run_name="b", tags=("a b",))
    expman.LoggingEngine(config).close("FAILED", reason="because")


def test_same_results_for_our_runs(query: Query, run_base: Path) -> None:
    """load_runs, read_metrics, load_run and load_config agree about our runs, a live one too."""
    log_ours(run_base)
    config = expman.ExperimentConfig("live", run_base, run_name="c", tags=("study:1",))
    with expman.LoggingEngine(config) as engine:
        for step in range(100):
            engine.log_vector({"x": step / 3}, step)
        engine.flush()
        check_functions(query, run_base, 3)
        for tags in TAGS:
            theirs = [run["path"] for run in query("load_runs", str(run_base), tags=tags)]
            assert theirs == [run["path"] for run in expman.load_runs(run_base, tags=tags)], tags
        for filters in ({"status": "failed"}, {"experiment": "live"}, {"group": "x"}):
            theirs = [run["path"] for run in query("load_runs", str(run_base), **filters)]
            assert theirs == [run["path"] for run in expman.load_runs(run_base, **filters)]
    check_functions(query, run_base, 3)


def test_a_ranked_run_is_read_by_it(
    query: Query, run_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of a distributed job has its rank and its group there, too."""
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("TORCHELASTIC_RUN_ID", "j")):
        monkeypatch.setenv(name, value)
    with expman.LoggingEngine(expman.ExperimentConfig("ours", run_base)) as engine:
        engine.log_vector({"x": 1.0}, 0)

    found = query("load_run", engine.run_dir)

    assert (0, "FINISHED") == (found["rank"], found["status"])
    check_functions(query, run_base, 1)


def test_media_are_read_by_it(query: Query, run_base: Path) -> None:
    """Pictures and histograms have the fields that it knows, with the same values."""
    picture = memoryview(bytes(range(12))).cast("B", (2, 2, 3))
    with expman.LoggingEngine(expman.ExperimentConfig("ours", run_base)) as engine:
        engine.log_image("a/b", picture, 3)
        engine.log_text("text", "answer")
        engine.log_histogram("weights", [1, 2, 2, math.nan], 4, bins=2)
    lines = query("read_media", engine.run_dir)
    wanted = expman.read_media(engine.run_dir)
    for line, ours in zip(lines, wanted, strict=True):
        assert {key: line[key] for key in ("tag", "step", "file", "bytes")}.items() <= ours.items()
    (row,) = query("read_histograms", engine.run_dir)
    (ours,) = expman.read_histograms(engine.run_dir)
    assert ours == {key: row[key] for key in ours}
    assert (3.0, "[1,2]") == (row["total"], row["counts"])


MEDIA = """
import sys, expman
run = expman.Experiment("peer", base_dir=sys.argv[1], redirect_console=False)
run.log_image("a/b", b"\\x89PNG\\r\\n\\x1a\\n", step=3)
run.log_audio("tone", b"RIFF")
run.log_histogram("weights", [1, 2, 2], step=4, bins=2)
print(run.run_dir)
run.close()
"""


def test_its_media_are_read(program: StartProgram, query: Query, run_base: Path) -> None:
    """By the functions that both have, and by Run."""
    logging = program(["-P", "-c", MEDIA, str(run_base)], python=peer(NEW), env={"PYTHONPATH": ""})
    run_dir = logging.read_line()
    logging.succeed()
    run = expman.Run(run_dir)
    assert [("image", "a/b", 3), ("audio", "tone", None)] == [
        (item.kind, item.tag, item.step) for item in run.media()
    ]
    assert all(item.bytes == Path(item.path).stat().st_size for item in run.media())
    (row,) = run.histograms("weights")
    assert (4, [1, 2], 3.0) == (row.step, row.counts, row.total)
    assert query("read_histograms", run_dir) == expman.read_histograms(run_dir)


@pytest.mark.parametrize("variable", [NEW, OLD])
def test_same_results_for_its_runs(
    program: StartProgram, query: Query, run_base: Path, variable: str
) -> None:
    """The functions agree about runs of expman-rs: finished and killed."""
    kill_between_writes(log_with_peer(program, variable, run_base, "killed"), run_base)
    ended = log_with_peer(program, variable, run_base, "ended")
    ended.send_line("close")
    ended.succeed()

    check_functions(query, run_base, 2)
