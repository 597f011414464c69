"""Forks children that end in all ways while two threads log at full speed.

fork_around.py BASE_DIR: prints as JSON how many rows each thread logged, and which children
logged how many.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import threading
import time

from expman import ExperimentConfig, LoggingEngine

ROUNDS = 2
CHILD_ROWS = 20
CHILD_S = 90.0
WAYS = {
    "exit": 0,
    "exit 3": 3,
    "raise": 1,
    "_exit": 0,
    "kill": -signal.SIGKILL,
    "close": 0,
    "exec": 0,
    "grandchild": 0,
}
base_dir = sys.argv[1]
stop = threading.Event()
logged = [0, 0]


def log_on(engine: LoggingEngine, thread: int) -> None:
    for n in itertools.count():
        if stop.is_set():
            return
        engine.log_vector({"thread": thread, "n": n})
        logged[thread] = n + 1
        if n % 50 == 0:
            time.sleep(0.0005)


def log_as(engine: LoggingEngine, child: int) -> None:
    for n in range(CHILD_ROWS):
        engine.log_vector({"child": child, "n": n, "half": n / 2}, n)


def end_child(engine: LoggingEngine, way: str, child: int) -> None:
    if way == "close":
        engine.close()
        engine.close()
        os._exit(0)
    if way == "raise":
        sys.stderr = None  # its traceback says nothing new
        raise ArithmeticError(f"child {child}")
    if way.startswith("exit"):
        sys.exit(int(way[4:] or 0))
    if way == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if way == "exec":
        os.execv(sys.executable, [sys.executable, "-c", "import expman"])
    if way == "grandchild":
        pid = os.fork()
        if not pid:
            log_as(engine, 1000 + child)
            sys.exit(0)
        os.waitpid(pid, 0)
    os._exit(0)


def wait_for(pid: int, way: str) -> None:
    deadline = time.monotonic() + CHILD_S
    while not (status := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGABRT)  # faulthandler tells where it hangs
            raise TimeoutError(f"a child that was to end by {way} hangs")
        time.sleep(0.0005)
    assert os.waitstatus_to_exitcode(status[1]) == WAYS[way], (way, status)


def main() -> None:
    children: list[int] = []
    with LoggingEngine(ExperimentConfig("fork", base_dir, run_name="run")) as engine:
        threads = [threading.Thread(target=log_on, args=(engine, n)) for n in (0, 1)]
        for thread in threads:
            thread.start()
        cases = itertools.product(range(ROUNDS), WAYS, (False, True))
        for number, (_, way, logs) in enumerate(cases):
            pid = os.fork()
            if not pid:
                if logs:
                    log_as(engine, number)
                end_child(engine, way, number)
            children += [number] if logs else []
            children += [1000 + number] if way == "grandchild" else []
            wait_for(pid, way)
        stop.set()
        for thread in threads:
            thread.join()
    print(json.dumps({"threads": logged, "children": children, "rows": CHILD_ROWS}))


main()
