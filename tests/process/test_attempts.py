"""A run that goes on: attempts after signals, kills and interrupted take-overs, one line."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.compute as pc
import pytest
from conftest import Program
from leaks import processes
from process.runs import run_yaml, serving, wait_until, writer_of, writers_of

import expman
from expman import ExperimentConfig, LoggingEngine, ResumeError
from expman.models import RunStatus
from expman.storage.yamlfile import RunFile
from expman.transport.recovery_lock import take_recovery_lock

STEPS = 120


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits of scikit-learn, in a file: a program need not import it."""
    datasets = pytest.importorskip("sklearn.datasets")
    found = datasets.load_digits()
    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    np.savez(path, inputs=found.data / 16, labels=found.target)
    return path


@pytest.fixture
def train(program, run_base: Path, digits: Path, tmp_path: Path):  # type: ignore[no-untyped-def]
    """Starts an attempt."""

    def start(
        steps: int = STEPS,
        *options: object,
        pause_s: float = 0.0,
        base: Path = run_base,
        env: dict[str, str] | None = None,
    ) -> Program:
        checkpoint = tmp_path / f"{base.name}.npz"
        given = (base, digits, checkpoint, steps, pause_s, *options)
        return program("train_in_attempts.py", *given, env=env)

    return start


def rows_of(run_dir: Path) -> list[tuple[int, float, float]]:
    table = expman.Run(run_dir).vectors(["step", "loss", "accuracy"])
    return [tuple(row.values()) for row in table.to_pylist()]


REFERENCES: dict[int, list[tuple[int, float, float]]] = {}


def reference(train, tmp_path: Path, steps: int = STEPS) -> list[tuple[int, float, float]]:
    """The rows of a training that nothing interrupts, which are the same each time."""
    if steps not in REFERENCES:
        base = tmp_path / "uninterrupted"
        train(steps, base=base).succeed()
        REFERENCES[steps] = rows_of(base / "digits/run")
    return REFERENCES[steps]


def all_rows(run_dir: Path) -> int:
    return len(rows_of(run_dir)) + expman.Run(run_dir).superseded().num_rows


def preempt(trainer: Program, how: str, after: int) -> None:
    """Lets some steps pass, and ends the attempt."""
    first = int(trainer.read_line().split()[-1])
    for step in range(first, min(first + after, STEPS)):
        if not trainer.running():
            break
        assert str(step) == trainer.read_line()
    match how:
        case "SIGTERM":
            trainer.send_signal(signal.SIGTERM)
        case "SIGKILL":
            trainer.kill()
        case "both":
            writers = writers_of(trainer.pid)
            trainer.send_signal(signal.SIGSTOP)
            for writer in writers:
                os.kill(writer.pid, signal.SIGKILL)
            trainer.kill()
        case "writer first":
            for writer in writers_of(trainer.pid):
                os.kill(writer.pid, signal.SIGKILL)
            trainer.kill()
    trainer.wait()


def check_preemptions(train, run_base: Path, tmp_path: Path, count: int, seed: int) -> None:
    """Preempts a training in every way, lets it end, and compares it with one that nobody stops."""
    chance = random.Random(seed)
    attempts = 0
    for _ in range(count):
        trainer = train(STEPS * 100, "print", pause_s=0.002)
        how = chance.choice(["SIGTERM", "SIGTERM", "SIGKILL", "both", "writer first"])
        preempt(trainer, how, chance.randrange(1, 12))
        attempts += 1
    run_dir = run_base / "digits/run"
    reached = max(step for step, *_ in rows_of(run_dir)) + 20
    train(reached).succeed()
    expected = reference(train, tmp_path, reached)
    assert expected == rows_of(run_dir)
    found = run_yaml(run_dir)
    assert "FINISHED" == found["status"]
    assert attempts + 1 == found["attempt"] == len(found["earlier_attempts"]) + 1
    assert found["rows_logged"] == all_rows(run_dir)
    counts = ("rows_written", "rows_superseded", "rows_missing")
    superseded = all_rows(run_dir) - len(expected)
    assert (len(expected), superseded, 0) == tuple(found[key] for key in counts)


def test_preemptions(train, run_base: Path, tmp_path: Path) -> None:
    """In each way, one after the other: the rows are those of a training that nobody stops."""
    check_preemptions(train, run_base, tmp_path, 4, seed=7)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_two_hundred_preemptions(train, run_base: Path, tmp_path: Path) -> None:
    """The same, 200 times."""
    check_preemptions(train, run_base, tmp_path, 200, seed=int(os.environ.get("SEED", "11")))


def remove_old_locks(run_dir: Path) -> bool:
    """Whoever takes the lock removes those of killed processes."""
    lock = take_recovery_lock(str(run_dir))
    assert lock is not None
    lock.unlink()
    lock.close()
    return not list(Path("/dev/shm").glob(lock.name.rpartition("-")[0] + "*"))


@pytest.mark.parametrize(
    "point",
    [
        "take-over-claimed",
        "supersede-before-rename",
        "supersede-between",
        "take-over-superseded",
        "take-over-before-yaml",
    ],
)
def test_a_killed_take_over(train, run_base: Path, tmp_path: Path, point: str) -> None:
    """Killed at any point, the run can be taken over again; no row is lost or doubled."""
    preempt(train(STEPS * 100, "print", pause_s=0.002), "SIGKILL", 10)
    mark = tmp_path / "mark"
    mark.touch()
    trainer = train(60, env={"EXPMAN_FAILPOINTS": f"{point}=kill@1:{mark}"})
    assert 0 != trainer.wait()
    assert "ResumeError" in trainer.stderr
    assert not mark.exists()
    train(60).succeed()
    run_dir = run_base / "digits/run"
    wait_until(lambda: remove_old_locks(run_dir), "the lock of a killed process goes away")
    assert reference(train, tmp_path, 60) == rows_of(run_dir)
    found = run_yaml(run_dir)
    assert (2, 0) == (found["attempt"], found["rows_missing"])
    assert found["rows_logged"] == all_rows(run_dir)


def test_signal_and_status(train, run_base: Path) -> None:
    """SIGTERM is noticed and passed on: exit status 143, FAILED with the reason."""
    trainer = train(STEPS * 100, "print", pause_s=0.002)
    trainer.read_line()
    trainer.read_line()
    trainer.send_signal(signal.SIGTERM)
    assert 143 == trainer.wait()
    run_dir = run_base / "digits/run"
    found = run_yaml(run_dir)
    assert ("FAILED", "preempted by SIGTERM") == (found["status"], found["reason"])


def test_a_live_owner(train, run_base: Path) -> None:
    """A run that somebody logs into is refused, with the process's number; it goes on unharmed."""
    owner = train(STEPS * 100, "print", pause_s=0.002)
    owner.read_line()
    second = train(STEPS)
    assert 0 != second.wait()
    assert f"process {owner.pid} of this host logs into it" in second.stderr
    step = int(owner.read_line())
    assert str(step + 1) == owner.read_line()
    owner.kill()


def stop_writer(trainer: Program) -> int:
    """Stops the writer of a trainer, once it serves; its process id."""
    trainer.read_line()
    writer = writer_of(trainer.pid)
    wait_until(lambda: writer.pid == serving(writer), "a serving writer")
    os.kill(writer.pid, signal.SIGSTOP)
    return writer.pid


def test_a_writer_that_is_still_at_it(train, run_base: Path, tmp_path: Path) -> None:
    """The next attempt waits for the writer of the last one, and warns."""
    trainer = train(STEPS * 100, "print", pause_s=0.002)
    writer = stop_writer(trainer)
    trainer.kill()
    second = train(STEPS)
    wait_until(lambda: "its writer has not finished" in second.stderr, "a warning")
    os.kill(writer, signal.SIGCONT)
    second.succeed()
    assert reference(train, tmp_path) == rows_of(run_base / "digits/run")


def test_in_one_process(run_base: Path) -> None:
    """The same process goes on with its run, with a worker's rows and what else it logs."""

    def config(**more: object) -> ExperimentConfig:
        return ExperimentConfig("e", str(run_base), run_name="r", **more)  # type: ignore[arg-type]

    with LoggingEngine(config(tags=["first"], description="d")) as engine:
        for step in range(6):
            engine.log_vector({"n": step, "attempt": 1}, step)
        engine.log_vector({"note": 1})
        engine.log_scalar("once", 1)
        engine.log_scalar("twice", 1)
        engine.log_params({"lr": 0.1})
    with LoggingEngine(config(resume="must", from_step=4, tags=["second"])) as engine:
        for step in range(4, 8):
            engine.log_vector({"n": step, "attempt": 2}, step)
        assert engine.durable_step is None or engine.durable_step < 8
        engine.flush()
        assert 7 == engine.durable_step
        engine.log_scalar("twice", 2)
        engine.log_params({"depth": 2})
    run = expman.Run(run_base / "e/r")
    table = run.vectors(["step", "n", "attempt", "_attempt"])
    assert [0, 1, 2, 3, None, 4, 5, 6, 7] == table["step"].to_pylist()
    assert [1, 1, 1, 1, None, 2, 2, 2, 2] == table["attempt"].to_pylist()
    assert [1, 1, 1, 1, 1, 2, 2, 2, 2] == table["_attempt"].to_pylist()
    assert [4, 5] == run.superseded()["step"].to_pylist()
    assert {"once": 1, "twice": 2} == run.scalars
    assert {"lr": 0.1, "depth": 2} == run.config
    assert (["first", "second"], "d") == (run.tags, run.description)
    assert ["FINISHED", "FINISHED"] == [attempt.status for attempt in run.attempts]
    best = run.best("n", "max")
    assert (7, 7) == (best.value, best.step)
    assert list(range(9)) != run.vectors(["_seq"])["_seq"].to_pylist()
    assert len({*run.vectors(["_seq"])["_seq"].to_pylist()}) == 9


def test_nothing_to_go_on_with(run_base: Path) -> None:
    """ "must" needs a run, "allow" makes one, "never" refuses one that exists."""
    config = {"name": "e", "base_dir": str(run_base), "run_name": "r"}
    with pytest.raises(ResumeError, match="it does not exist"):
        LoggingEngine(ExperimentConfig(**config, resume="must"))
    LoggingEngine(ExperimentConfig(**config, resume="allow", from_step=3)).close()
    with pytest.raises(expman.RunExistsError):
        LoggingEngine(ExperimentConfig(**config))
    with pytest.raises(expman.ConfigError, match="run_name"):
        ExperimentConfig("e", str(run_base), resume="allow")


def test_a_directory_without_a_run(run_base: Path) -> None:
    """A start that was killed leaves an empty directory: "allow" goes on with that, too."""
    (run_base / "e/r").mkdir(parents=True)
    os.utime(run_base / "e/r", (0, 0))
    config = ExperimentConfig("e", str(run_base), run_name="r", resume="allow", from_step=0)
    with LoggingEngine(config) as engine:
        engine.log_vector({"n": 1}, 0)
    assert [1] == expman.Run(run_base / "e/r").vectors(["n"])["n"].to_pylist()


def test_ctrl_c_while_it_waits(train, run_base: Path) -> None:
    """A constructor that waits for the last attempt ends at once, and leaves no process."""
    trainer = train(STEPS * 100, "print", pause_s=0.002)
    writer = stop_writer(trainer)
    trainer.kill()
    second = train(STEPS)
    wait_until(lambda: "its writer has not finished" in second.stderr, "a warning")
    second.send_signal(signal.SIGINT)
    second.wait()
    os.kill(writer, signal.SIGCONT)
    wait_until(lambda: "RUNNING" != run_yaml(run_base / "digits/run")["status"], "an end")


def test_an_engine_that_is_killed_while_it_waits(program, run_base: Path) -> None:  # type: ignore[no-untyped-def]
    """Nobody takes the run over for it: its rows stay, for whoever goes on."""
    with LoggingEngine(ExperimentConfig("e", str(run_base), run_name="r")) as engine:
        engine.log_vector({"n": 1.0}, 5)
    file = RunFile(engine.run_dir)
    elsewhere = msgspec.structs.replace(file.read().host, hostname="other", boot_id="b")
    elsewhere = msgspec.structs.replace(elsewhere, machine_id="m")
    file.write(msgspec.structs.replace(file.read(), status=RunStatus.RUNNING, host=elsewhere))

    code = "import expman, sys; expman.init('e', 'r', sys.argv[1], resume='must', from_step=0)"
    waiting = program(["-c", code], run_base)

    def takers() -> list[int]:
        name = f" take-over {engine.run_dir} "
        return [one.pid for one in processes() if name in one.command.replace("\0", " ")]

    wait_until(takers, "a process that takes the run over")
    waiting.kill()
    wait_until(lambda: not takers(), "it ends, too")
    assert 1 == file.read().attempt
    assert [5] == expman.Run(engine.run_dir).vectors(["step"])["step"].to_pylist()


WITH_WORKER = """\
import os, sys, expman
base, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
run = expman.init("e", "r", base, resume="allow", from_step=first, quiet=True)
if not os.fork():
    for step in range(first, last):
        run.log_vector({"worker": float(step)}, step)
    run.close()
    os._exit(0)
os.wait()
for step in range(first, last):
    run.log_vector({"main": float(step)}, step)
run.log_histogram("h", [1.0, 2.0], first)
run.close()
"""


def test_workers_and_ranks(program, run_base: Path) -> None:  # type: ignore[no-untyped-def]
    """Rows of workers follow the attempts of their owner; each rank has a run that goes on."""
    for first, last in ((0, 6), (4, 8)):
        for rank in ("0", "1"):
            env = {"EXPMAN_RANK": rank}
            program(["-c", WITH_WORKER], run_base, first, last, env=env).succeed()
    for name in ("r", "r-rank1"):
        run = expman.Run(run_base / "e" / name)
        table = run.vectors(["step", "_producer", "_attempt", "_seq"])
        for producer in ("main", "worker-0"):
            rows = table.filter(pc.equal(table["_producer"], producer))
            assert list(range(8)) == rows["step"].to_pylist()
            assert [1] * 4 + [2] * 4 == rows["_attempt"].to_pylist()
            assert [0, 1, 2, 3, 6, 7, 8, 9] == rows["_seq"].to_pylist()
        superseded = run.superseded()
        assert [4, 4, 5, 5] == sorted(superseded["step"].to_pylist())
        counts = run.metadata
        assert (20, 16, 4, 0) == (
            counts.rows_logged,
            counts.rows_written,
            counts.rows_superseded,
            counts.rows_missing,
        )
        assert [0, 4] == sorted(one.step for one in run.histograms())


OWNER = """
import sys
from expman import ExperimentConfig, LoggingEngine
engine = LoggingEngine(ExperimentConfig("e", sys.argv[1], run_name="r"))
print(engine.address, flush=True)
sys.stdin.readline()
engine.close()
"""
WORKER = """
import sys, expman
lane = expman.attach(sys.argv[1])
lane.log_vector({"n": 1.0}, 1)
print("logged", flush=True)
sys.stdin.readline()
try:
    lane.log_vector({"n": 2.0}, 2)
except expman.ExpmanError:
    print("refused", flush=True)
"""


@pytest.mark.parametrize("is_killed", [True, False])
def test_a_worker_that_outlives_its_attempt(program, run_base: Path, is_killed: bool) -> None:  # type: ignore[no-untyped-def]
    """It does not hold up the next attempt, and logs nothing into that."""
    owner = program(["-c", OWNER], run_base)
    worker = program(["-c", WORKER], owner.read_line())
    worker.expect_line("logged")
    if is_killed:
        owner.kill()
    else:
        owner.send_line()
        owner.succeed()
    config = ExperimentConfig("e", str(run_base), run_name="r", resume="must")
    with LoggingEngine(config) as engine:
        assert worker.running()
        worker.send_line()
        worker.expect_line("refused")
        engine.log_vector({"n": 3.0}, 3)
    assert [1, 3] == expman.Run(run_base / "e/r").vectors(["step"])["step"].to_pylist()


ENDS_BADLY = """\
import os, sys, expman
base, first, how = sys.argv[1], int(sys.argv[2]), sys.argv[3]
more = {"resume": "allow", "redirect_console": True, "quiet": True}
run = expman.init("e", "r", base, from_step=first, **more)
print("printed in the attempt from step", first)
for step in range(first, first + 5):
    run.log_vector({"n": float(step)}, step)
run.engine.flush()
if how == "raise":
    raise ValueError("no such batch")
if how == "kill":
    os.kill(os.getpid(), 9)
"""


def test_what_earlier_attempts_died_of(program, run_base: Path) -> None:  # type: ignore[no-untyped-def]
    """Each has its own post-mortem, in which nothing is of another one; `why` lists them."""
    for first, how in ((0, "raise"), (3, "kill"), (6, "end")):
        program(["-c", ENDS_BADLY], run_base, first, how).wait()
        wait_until(lambda: run_yaml(run_base / "e/r")["status"] != "RUNNING", "the end")
    run_dir = run_base / "e/r"
    (run_dir / "stacks").mkdir()  # of an earlier attempt that stood still

    def why(*options: object) -> str:
        return str(program(["-m", "expman.cli", "why", run_dir, *options]).succeed())

    told = why()
    assert told.startswith("# e/r: FINISHED\n\nNothing went wrong in attempt 3.\n")
    first, second = (line for line in told.split("\n") if line.startswith("- attempt"))
    assert first.startswith("- attempt 1: FAILED 20")
    assert "UTC on " in first
    assert ": ValueError: no such batch (at <string>:" in first
    assert first.endswith(" (postmortem.attempt-1.md, or --attempt 1)")
    assert "- attempt 2: CRASHED 20" in second
    assert "ended without closing the run" in second

    first, second = why("--attempt", "1"), why("--attempt", "2")
    assert first.startswith("# e/r, attempt 1: FAILED, ValueError\n")
    assert "main logged 5 rows, the last one with step 4" in first
    assert second.startswith("# e/r, attempt 2: CRASHED")
    assert "ValueError" not in second.partition("## Earlier attempts")[0]
    assert "printed in the attempt from step 3" in second
    assert "printed in the attempt from step 0" not in second
    assert "main logged 10 rows, the last one with step 7" in second
    assert "# e/r: FINISHED\n\nNothing went wrong in attempt 3.\n" in why("--attempt", "3")
    refused = program(["-m", "expman.cli", "why", run_dir, "--attempt", "4"])
    assert 2 == refused.wait()
    assert "--attempt 4: run" in refused.stderr
    assert "has 3 attempts" in refused.stderr
    kept = (run_dir / "postmortem.attempt-2.md").read_text()
    assert "## Earlier attempts\n\n- attempt 1: FAILED" in kept
    assert expman.Run(run_dir).postmortem is None
