"""Runs whose calls are interrupted, and runs that are closed, with a real writer."""

from __future__ import annotations

import contextlib
import dis
import gc
import math
import operator
import os
import shutil
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import Program, StartProgram
from opcodes import interrupt, numbers
from process.runs import wait_until
from run_files import rows, run_yaml

from expman import (
    Experiment,
    ExperimentConfig,
    ExpmanError,
    LoggingEngine,
    RunClosedError,
    open_engines,
)
from expman.launch.start import RunStart
from expman.transport import places, segment

DEADLINE_S = 120.0
# An exception within __del__ ends there, and Python speaks of it.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Interrupted(BaseException):
    """What a signal handler raises, as KeyboardInterrupt."""


def raise_error() -> None:
    raise Interrupted


@pytest.fixture
def start(run_base: Path, shared_writer: Callable[..., Program]) -> Callable[[str], LoggingEngine]:
    """Starts engines at one shared writer."""
    writer = shared_writer().address

    def start_engine(name: str) -> LoggingEngine:
        return LoggingEngine(ExperimentConfig("exp", str(run_base), run_name=name, writer=writer))

    return start_engine


def close_at(start: Callable[[str], LoggingEngine], at: int) -> bool:
    """Interrupts close() and closes again: the run ends, and as it was told first."""
    one = start(f"close-{at}")
    one.log_vector({"a": 1}, 1)
    fired = True
    try:
        fired = interrupt(lambda: one.close("FAILED", reason="first"), at, raise_error)
    except Interrupted:
        assert one._end is not None
        settled = one._end.final.get(None) is not None
        one.close(timeout_s=DEADLINE_S)
        found = run_yaml(one.run_dir)
        expected = ("FAILED", "first") if settled else ("FINISHED", None)
        assert expected == (found["status"], found["reason"]), f"opcode {at}"
    assert [(1, {"a": 1})] == rows(one.run_dir), f"opcode {at}"
    assert 0 == one.durable_seq
    return fired


def flush_at(start: Callable[[str], LoggingEngine], at: int) -> bool:
    """Interrupts flush(): later calls work."""
    one = start(f"flush-{at}")
    one.log_vector({"a": 1}, 1)
    fired = True
    with contextlib.suppress(Interrupted):
        fired = interrupt(lambda: one.flush(DEADLINE_S), at, raise_error)
    one.log_vector({"a": 2}, 2)
    one.flush(DEADLINE_S)
    one.close()
    assert [(1, {"a": 1}), (2, {"a": 2})] == rows(one.run_dir), f"opcode {at}"
    return fired


def close_in_log_at(start: Callable[[str], LoggingEngine], at: int) -> bool:
    """Closes in the middle of log_vector, as a handler of SIGTERM does: it is in, or it raises."""
    one = start(f"log-{at}")
    one.log_vector({"a": 1}, 1)
    logged, fired = [1], True
    with contextlib.suppress(RunClosedError):
        fired = interrupt(lambda: one.log_vector({"b": "x"}, 2), at, lambda: one.close("FAILED"))
        logged.append(2)
    one.close()
    assert logged == [step for step, _ in rows(one.run_dir)], f"opcode {at}"
    return fired


CASES = [close_at, flush_at, close_in_log_at]


@pytest.mark.parametrize("case", CASES)
def test_interrupted(start: Any, case: Callable[[Any, int], bool]) -> None:
    """At some opcodes, others each day."""
    assert any(not case(start, at) for at in numbers(97))


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", CASES)
def test_interrupted_anywhere(start: Any, case: Callable[[Any, int], bool]) -> None:
    """At every opcode."""
    assert any(not case(start, at) for at in numbers(1))


# -- the constructor ---------------------------------------------------------------


def children() -> set[str]:
    """The processes that this one has started, by whichever thread."""
    found: set[str] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found.update(path.read_text().split())
    return found


def memory() -> set[str]:
    """Names of the shared memory at addresses where this process has claimed lanes."""
    ours = {address.rpartition("-")[0] for _, _, address in segment._locked_here}
    names = {name for place in places.all_places() for name in places.list_names(place)}
    return {name for name in names if "-".join(name.split("-")[:2]) in ours}


def owned() -> tuple[set[str], set[str], int, int, int]:
    """What an engine has: processes, memory by name, mappings, descriptors, threads."""
    return children(), memory(), mappings(), descriptors(), threading.active_count()


def is_late(exc: BaseException) -> bool:
    """Whether it came when only the constructor's return was left; no signal comes there."""
    frames = [frame for frame, _ in traceback.walk_tb(exc.__traceback__)]
    code = LoggingEngine.__init__.__code__
    if code is not frames[-3].f_code:
        return False
    left = [one.opname for one in dis.get_instructions(code) if one.offset >= frames[-3].f_lasti]
    return all(name.startswith(("LOAD_CONST", "RETURN")) for name in left[:2])


def interrupt_constructor(config: ExperimentConfig, at: int) -> bool:
    """Nothing is there afterwards that was not there before; or a run that has ended."""
    before, fired, late = owned(), True, False
    others = list(open_engines._engines)  # of fixtures of the session, which other tests look at
    try:
        late = not (fired := interrupt(lambda: LoggingEngine(config), at, raise_error))
    except Interrupted as exc:
        late = is_late(exc)
    made = [one for one in open_engines._engines if all(one is not other for other in others)]
    assert late or all(one._ended for one in made), at
    for one in made:
        one.close()
    if os.path.lexists(config.run_dir):
        found = run_yaml(config.run_dir)
        assert found["status"] in ("FINISHED", "FAILED"), at
        shutil.rmtree(config.run_dir)
    # A shared writer removes memory a moment after it has said that the run has ended.
    wait_until(lambda: memory() <= before[1], "the end of the memory")
    processes, _, *counts = owned()
    assert processes <= before[0], at
    assert all(map(operator.le, counts, before[2:])), (at, counts, before[2:])
    return fired


@pytest.fixture(params=["own writer", "shared writer"])
def new_run(
    request: pytest.FixtureRequest, run_base: Path, shared_writer: Callable[..., Program]
) -> ExperimentConfig:
    writer = None if request.param == "own writer" else shared_writer().address
    config = ExperimentConfig("exp", str(run_base), run_name="before", writer=writer)
    LoggingEngine(config).close()  # the first one imports, and has threads started that stay
    return msgspec.structs.replace(config, run_name="run")


def test_interrupted_constructor(new_run: ExperimentConfig) -> None:
    """No writer, memory, directory, descriptor, thread stays. At some opcodes, others each day."""
    assert any(not interrupt_constructor(new_run, at) for at in numbers(53))


def test_a_constructor_that_has_gone(new_run: ExperimentConfig) -> None:
    """As after Ctrl-C in the constructor's own handler: all is taken back all the same."""
    before = owned()
    start = RunStart(new_run)
    (lambda: start.make())()
    assert os.path.exists(new_run.run_dir)
    start._thread.join(DEADLINE_S)
    assert not start._thread.is_alive()
    assert not os.path.exists(new_run.run_dir)
    processes, names, *counts = owned()
    assert processes <= before[0]
    assert names <= before[1]
    assert all(map(operator.le, counts, before[2:])), (counts, before[2:])
    with pytest.raises(ExpmanError, match="called off"):
        start.begin()


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_interrupted_constructor_anywhere(new_run: ExperimentConfig) -> None:
    """At every opcode."""
    assert any(not interrupt_constructor(new_run, at) for at in numbers(1))


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def mappings() -> int:
    with open("/proc/self/maps", encoding="utf-8") as file:
        return sum("/expman-" in line for line in file)


# -- the end -----------------------------------------------------------------------


@pytest.mark.parametrize("own", [True, False], ids=["own writer", "shared writer"])
def test_close_gives_all_back(
    run_base: Path, shared_writer: Callable[..., Program], own: bool
) -> None:
    """At once, without the garbage collector, and however long the engines are kept."""
    writer = None if own else shared_writer().address
    closed = []
    threads: int | None = None
    gc.collect()
    before = mappings()  # tests that closed all descriptors have lost some for good
    gc.disable()
    try:
        for number in range(5):
            one = LoggingEngine(
                ExperimentConfig("exp", str(run_base), run_name=f"{number}", writer=writer)
            )
            for step in range(10):
                one.log_vector({"a": step, "b": 0.5}, step)
                one.log_vector({"t": "x" * 100_000})
            one.close()
            closed.append(one)
            if threads is None:
                fds, threads = descriptors(), threading.active_count()
        assert before == mappings()
        assert fds >= descriptors()
        assert threads >= threading.active_count()
    finally:
        gc.enable()
    for one in closed:
        assert (19, 9) == (one.durable_seq, one.durable_step)
        one.close()
        with pytest.raises(RunClosedError):
            one.log_vector({"a": 1})


def test_a_worker_gives_all_back(run_base: Path, program: StartProgram) -> None:
    """close() in a worker: its lane and the owner's control; the last numbers stay."""
    text = (
        "import gc, os, sys; gc.disable()\n"
        "from expman import attach\n"
        "one = attach(sys.argv[1])\n"
        "one.log_vector({'a': 1}, 7); one.close()\n"
        "maps = [line for line in open('/proc/self/maps') if '/expman-' in line]\n"
        "print(len(maps), one.durable_seq, one.durable_step, flush=True)\n"
    )
    with LoggingEngine(ExperimentConfig("exp", str(run_base), run_name="run")) as owner:
        worker = program(["-c", text], owner.address)
        assert "0 0 7\n" == worker.succeed()


@pytest.mark.parametrize("limit", [10**12, 2**63 - 1])
def test_a_limit_larger_than_the_machine(run_base: Path, limit: int) -> None:
    """The buffer's limit is only a limit."""
    with LoggingEngine(ExperimentConfig("exp", str(run_base), max_buffer_bytes=limit)) as one:
        one.log_vector({"a": 1}, 1)
    assert [(1, {"a": 1})] == rows(one.run_dir)


@pytest.mark.parametrize("timeout_s", [math.inf, None, 10**400, 60])
def test_timeouts_without_a_limit(run_base: Path, timeout_s: Any) -> None:
    """inf, None and what no clock can count wait until it is done."""
    one = Experiment("exp", base_dir=run_base)
    one.log_vector({"a": 1}, 1)
    one.flush(timeout_s)
    one.close(timeout_s=timeout_s)
    assert "FINISHED" == run_yaml(one.run_dir)["status"]


@pytest.mark.parametrize(
    ("timeout_s", "kind"),
    [(math.nan, ValueError), ("1", TypeError), (True, TypeError), ([], TypeError)],
)
def test_timeouts_that_are_none(run_base: Path, timeout_s: Any, kind: type[Exception]) -> None:
    """They are refused, and the run goes on."""
    one = Experiment("exp", base_dir=run_base)
    for call in (one.flush, lambda timeout_s: one.close(timeout_s=timeout_s)):
        with pytest.raises(kind, match="timeout_s"):
            call(timeout_s)
    one.log_vector({"a": 1}, 1)
    one.close()
    one.close(timeout_s=-1)  # as 0: there is nothing to wait for
    assert [(1, {"a": 1})] == rows(one.run_dir)


# -- several at once -----------------------------------------------------------------


def test_close_in_two_threads(run_base: Path) -> None:
    """Both return when the run has ended; rows of a third thread are in, or their call raises."""
    one = LoggingEngine(ExperimentConfig("exp", str(run_base), run_name="run"))
    one.log_vector({"a": 0}, 0)
    logged, problems = [0], []

    def log() -> None:
        with contextlib.suppress(RunClosedError):
            for step in range(1, 10**9):
                one.log_vector({"a": step} if step % 7 else {"b": "x" * 50}, step)
                logged.append(step)

    def close() -> None:
        try:
            one.close(timeout_s=DEADLINE_S)
            assert "FINISHED" == run_yaml(one.run_dir)["status"]
        except Exception as exc:  # noqa: BLE001 - told below
            problems.append(exc)

    threads = [threading.Thread(target=target) for target in (log, close, close)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
        assert not thread.is_alive()
    assert [] == problems
    found = [step for step, _ in rows(one.run_dir)]
    assert logged == found[: len(logged)]
    assert len(found) <= len(logged) + 1


def test_recursion_limit(run_base: Path) -> None:
    """A call that fails for want of stack costs no other row."""
    one = LoggingEngine(ExperimentConfig("exp", str(run_base), run_name="run"))
    logged = []

    def dive(depth: int) -> None:
        with contextlib.suppress(RecursionError):
            dive(depth + 1)
        for row in ({"a": depth}, {"t": "text", "d": depth}, {f"new {depth}": depth}):
            with contextlib.suppress(RecursionError):
                one.log_vector(row, depth)
                logged.append(depth)

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(200)
    try:
        dive(0)
    finally:
        sys.setrecursionlimit(limit)
    one.close()
    found = [step for step, _ in rows(one.run_dir)]
    assert logged == [step for step in found if step in set(logged)]
    assert len(found) - len(logged) <= 30  # calls that failed after their row was in
