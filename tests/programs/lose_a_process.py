"""Logs from a second process that ends in the way that it is told, and goes on to a normal end.

lose_a_process.py BASE_DIR METHOD HOW: METHOD is how the process is made. It prints the run's
directory and the id of the process.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys

import expman
from expman import ExperimentConfig, LoggingEngine

ROWS = 5


def work(engine: LoggingEngine, how: str) -> None:
    """Logs rows until the writer has them, so that it knows this process, and ends."""
    for step in range(ROWS):
        engine.log_vector({"loss": 1.0}, step)
    engine.flush()
    match how:
        case "SIGKILL" | "SIGTERM":
            os.kill(os.getpid(), getattr(signal, how))
        case "SIGSEGV":
            ctypes.string_at(0)
        case "exit":
            sys.exit(3)
        case "os._exit":
            os._exit(0)
        case "raise":
            raise KeyError("img_17")
        case "with":
            with engine:
                raise KeyError("img_17")


def fork(engine: LoggingEngine, how: str) -> int:
    """A plain fork, as few programs do it."""
    pid = os.fork()
    if not pid:
        work(engine, how)
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def multiprocess(engine: LoggingEngine, how: str, method: str) -> int:
    """A process of multiprocessing."""
    process = multiprocessing.get_context(method).Process(target=work, args=(engine, how))
    process.start()
    process.join()
    assert process.pid is not None
    return process.pid


def attach(engine: LoggingEngine, how: str) -> int:
    """Another program, a rank of the same job."""
    env = {**os.environ, "RANK": "2", "WORLD_SIZE": "4"}
    command = [sys.executable, __file__, engine.address, "attached", how]
    process = subprocess.Popen(command, env=env)
    process.wait()
    return process.pid


def main() -> None:
    """Loses the process, and goes on."""
    base_dir, method, how = sys.argv[1:]
    if method == "attached":
        work(expman.attach(base_dir), how)  # nobody has the engine after that
        return
    config = ExperimentConfig("lose", base_dir, run_name="run", hang_after_s=300)
    with LoggingEngine(config) as engine:
        engine.log_vector({"loss": 1.0}, 0)
        match method:
            case "plain":
                pid = fork(engine, how)
            case "attach":
                pid = attach(engine, how)
            case _:
                pid = multiprocess(engine, how, method)
        print(engine.run_dir)
        print(pid)
        sys.stdin.readline()
        engine.log_vector({"loss": 1.0}, 1)


if __name__ == "__main__":
    main()
