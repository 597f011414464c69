"""Children of many kinds that log into the run of their parent: workers.py BASE_DIR SCENE …

Prints the run's directory once the run is closed, unless the scene says otherwise.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import expman
from expman import Experiment, ExperimentConfig, LoggingEngine

ROWS = 3


def log_rows(log_vector: Callable[..., None], way: str) -> None:
    for n in range(ROWS):
        log_vector({"way": way, "n": n}, n)


def in_child(function: Callable[[], object], *, wait: bool = True) -> int:
    """Runs it in a forked child; its exit status, or its pid."""
    pid = os.fork()
    if not pid:
        code = 99
        try:
            function()
            code = 0
        except SystemExit as exc:
            code = int(exc.code or 0)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if wait else pid


# -- who can log -----------------------------------------------------------------------


def fork(base_dir: str) -> None:
    """Through each of the ways in, all captured before the fork."""
    run = expman.init("workers", "run", base_dir)
    bound, bound_too = run.engine.log_vector, run.log_vector
    log_rows(bound, "owner")
    for way, log_vector in {
        "engine": lambda *row: run.engine.log_vector(*row),
        "bound": bound,
        "experiment": lambda *row: run.log_vector(*row),
        "bound experiment": bound_too,
        "module": expman.log_vector,
    }.items():
        assert 0 == in_child(partial(log_rows, log_vector, way))
    assert 0 == in_child(lambda: in_child(lambda: log_rows(bound, "grandchild")))
    log_rows(bound, "owner again")
    expman.close()
    print(run.run_dir)


def _log_pickled(engine: LoggingEngine, run: Experiment, way: str) -> None:
    log_rows(engine.log_vector, f"{way} engine")
    log_rows(run.log_vector, f"{way} experiment")
    run.info(f"hello from {way}")
    run.engine.flush()


def start(base_dir: str, method: str) -> None:
    """By multiprocessing, with the engine among the arguments."""
    run = Experiment("workers", "run", base_dir)
    context = multiprocessing.get_context(method)
    children = [
        context.Process(target=_log_pickled, args=(run.engine, run, f"{method} {number}"))
        for number in range(2)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
    run.close()
    print(run.run_dir)


ATTACHING = {
    "argument": "engine = expman.attach(sys.argv[1]); log = engine.log_vector",
    "variable": "engine = expman.attach(); log = engine.log_vector",
    "module": "log = expman.log_vector",
}


def attach(base_dir: str) -> None:
    """By address, in programs of their own, which then end in various ways."""
    run = Experiment("workers", "run", base_dir)
    for way, code in ATTACHING.items():
        row = f"{{'way': {way!r}, 'n': n}}"
        code = f"import expman, sys\n{code}\nfor n in range({ROWS}): log({row}, n)"
        arguments = [run.engine.address] if way == "argument" else []
        env = {**os.environ, "EXPMAN_RUN": run.engine.address}
        subprocess.run([sys.executable, "-c", code, *arguments], env=env, check=True)
    run.close()
    print(run.run_dir)


# -- how they end ------------------------------------------------------------------------


def _kill_me() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _sys_exit_in_with(engine: LoggingEngine) -> None:
    with engine:
        log_rows(engine.log_vector, "sys.exit")
        sys.exit(3)


def _raise_in_with(engine: LoggingEngine) -> None:
    with contextlib.suppress(ValueError), engine:
        log_rows(engine.log_vector, "exception")
        raise ValueError("the worker's own")


def _close(engine: LoggingEngine) -> None:
    log_rows(engine.log_vector, "close")
    engine.close("FAILED", reason="the worker's own")
    try:
        engine.log_vector({"n": -1})
    except expman.RunClosedError:
        return
    raise AssertionError("logged after close()")


def _init_anew(base_dir: str) -> None:
    log_rows(expman.log_vector, "before init")
    with expman.init("others", "run", base_dir):
        expman.log_vector({"way": "its own run", "n": 0})


def end(base_dir: str) -> None:
    """Workers end in all ways, and the run goes on."""
    run = expman.init("workers", "run", base_dir)
    engine, log = run.engine, run.engine.log_vector
    ends: dict[str, tuple[Callable[[], object], int]] = {
        "SIGKILL": (lambda: (log_rows(log, "SIGKILL"), _kill_me()), -9),
        "_exit": (lambda: (log_rows(log, "_exit"), os._exit(7)), 7),
        "sys.exit": (lambda: _sys_exit_in_with(engine), 3),
        "exception": (lambda: _raise_in_with(engine), 0),
        "close": (lambda: _close(engine), 0),
        "module close": (lambda: (log_rows(log, "module close"), expman.fail("mine")), 0),
        "init": (lambda: _init_anew(base_dir), 0),
    }
    for name, (function, code) in ends.items():
        found = in_child(function)
        assert code == found, (name, found)
        log({"way": "owner", "n": 0})
    child = multiprocessing.get_context("fork").Process(target=log_rows, args=(log, "process"))
    child.start()
    child.join()
    assert run.engine.config.run_name == "run"
    engine.close()
    print(run.run_dir)


# -- several at once -----------------------------------------------------------------------


def together(base_dir: str, count: str) -> None:
    """So many forked workers that live at once, and say so before they end."""
    engine = LoggingEngine(ExperimentConfig("workers", base_dir, run_name="run"))
    hold, let_go = os.pipe()
    done, tell = os.pipe()

    def work(number: int) -> None:
        os.close(let_go)
        log_rows(engine.log_vector, f"worker {number}")
        engine.flush()
        os.write(tell, b".")
        os.read(hold, 1)  # until the parent has closed the other end

    pids = [in_child(partial(work, n), wait=False) for n in range(int(count))]
    for _ in pids:
        assert os.read(done, 1)
    print("together")
    sys.stdin.readline()
    os.close(let_go)
    for pid in pids:
        assert 0 == os.waitpid(pid, 0)[1]
    engine.close()
    print(engine.run_dir)


def epochs(base_dir: str) -> None:
    """Two workers that are made anew each epoch; a line N on standard input: N epochs more."""
    engine = LoggingEngine(ExperimentConfig("workers", base_dir, run_name="run"))
    epoch = 0
    for line in sys.stdin:
        for _ in range(int(line)):
            row = {"epoch": epoch}
            pids = [in_child(partial(engine.log_vector, row), wait=False) for _ in "ab"]
            for pid in pids:
                assert 0 == os.waitpid(pid, 0)[1]
            epoch += 1
        engine.flush()
        print(epoch)
    engine.close()
    print(engine.run_dir)


def silent(base_dir: str) -> None:
    """Forked children that log nothing; they have ended when the address is printed."""
    engine = LoggingEngine(ExperimentConfig("workers", base_dir, run_name="run"))
    engine.log_vector({"n": 0})

    def do_nothing() -> None:
        engine.flush()
        assert engine.durable_seq is None
        assert engine.durable_step is None
        engine.close()

    for _ in range(5):
        assert 0 == in_child(do_nothing)
    print(engine.address)
    sys.stdin.readline()
    engine.close()
    print(engine.run_dir)


def merge(base_dir: str) -> None:
    """Parameters and scalars of owner and workers, one after the other."""
    run = Experiment("workers", "run", base_dir)
    run.log_params({"owner": 1, "both": "owner", "nested": {"owner": 1}})
    run.log_scalar("best", 0.5)
    run.log_vector({"n": 0})

    def say(number: int) -> None:
        run.log_params({f"worker {number}": number, "both": number, "nested": {"n": number}})
        run.log_scalar("best", number)
        run.log_scalar(f"of {number}", True)
        run.info(f"from {number}")
        run.flush()

    for number in range(2):
        run.flush()
        assert 0 == in_child(partial(say, number))
    run.close()
    print(run.run_dir)


def drop(base_dir: str) -> None:
    """A worker that drops: logs ROWS lines from standard input says, tells how many it dropped."""
    engine = LoggingEngine(
        ExperimentConfig(
            "workers", base_dir, run_name="run", overflow="drop", max_buffer_bytes=64 * 1024
        )
    )
    engine.log_vector({"n": -1})
    engine.flush()
    print("ready")
    rows = int(sys.stdin.readline())

    def work() -> None:
        for n in range(rows):
            engine.log_vector({"n": n}, n)

    assert 0 == in_child(work)
    print("logged")
    sys.stdin.readline()
    engine.close()
    print(engine.run_dir)


def same(base_dir: str) -> None:
    """Attaching where the run is known already, and where it has ended."""
    engine = LoggingEngine(ExperimentConfig("workers", base_dir, run_name="run"))
    assert expman.attach(engine.address) is engine

    def work() -> None:
        assert expman.attach(engine.address) is engine
        engine.log_vector({"n": 1})
        engine.close()
        again = expman.attach(engine.address)
        assert again is not engine
        again.log_vector({"n": 2})

    assert 0 == in_child(work)
    engine.close()
    try:
        expman.attach(engine.address)
    except expman.RunEndedError:
        print(engine.run_dir)


def too_late(base_dir: str) -> None:
    """A worker whose first record comes when the run has ended."""
    engine = LoggingEngine(ExperimentConfig("workers", base_dir, run_name="run"))
    engine.log_vector({"n": 0})
    ended, tell = os.pipe()

    def work() -> None:
        os.close(tell)
        os.read(ended, 1)
        for _ in range(2):
            try:
                engine.log_vector({"n": 1})
            except expman.RunClosedError:
                continue
            raise AssertionError("logged into a run that has ended")
        engine.flush(timeout_s=1)
        engine.close()

    pid = in_child(work, wait=False)
    engine.close()
    before = os.stat(f"{engine.run_dir}/run.yaml")
    os.close(tell)
    assert 0 == os.waitpid(pid, 0)[1]
    time.sleep(0.1)  # a writer that found a lane would have made the file anew by now
    after = os.stat(f"{engine.run_dir}/run.yaml")
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    print(engine.run_dir)


if __name__ == "__main__":
    globals()[sys.argv[2]](sys.argv[1], *sys.argv[3:])
