"""Logs while descriptors are closed, or run out.

lose_descriptors.py BASE_DIR WHAT: "closed", the program closes all and opens files of its own;
"none left", it may open none for a while; "writer", its writer has too few for all workers;
"workers", its workers have none, one of them for a while only.
Prints JSON: rows, and which of its own files were closed or read from.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time

from expman import ExperimentConfig, LoggingEngine

base_dir, what = sys.argv[1:]
FILES, ROWS, WORKERS = 20, 40_000, 20


def start(**settings: int) -> LoggingEngine:
    return LoggingEngine(ExperimentConfig("faults", base_dir, run_name="run", **settings))


def log(engine: LoggingEngine, first: int, last: int) -> None:
    for n in range(first, last):
        engine.log_vector({"n": n}, n)


def close_all() -> dict[str, object]:
    engine = start(max_buffer_bytes=1 << 20)
    log(engine, 0, 10)
    engine.flush()  # its writer serves: all that is to be open is open
    os.closerange(3, 256)
    own = []
    for number in range(FILES):
        with open(f"{base_dir}/own{number}", "wb") as file:
            file.write(b"\x55" * 10_000)
        own.append(os.open(f"{base_dir}/own{number}", os.O_RDWR))
    log(engine, 10, ROWS)
    engine.close()
    del engine
    closed, moved = [], []
    for fd in own:
        try:
            if os.lseek(fd, 0, os.SEEK_CUR):
                moved.append(fd)
        except OSError:
            closed.append(fd)
    return {"rows": ROWS, "closed": closed, "moved": moved}


def use_up() -> dict[str, object]:
    engine = start()
    log(engine, 0, 10)
    engine.flush()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    log(engine, 10, ROWS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    engine.close()
    return {"rows": ROWS, "closed": [], "moved": []}


def starve_writer() -> dict[str, object]:
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
    engine = start()
    log(engine, -1, 0)
    engine.flush()
    reading, writing = os.pipe()
    ready, tell = os.pipe()
    pids = []
    for number in range(WORKERS):
        pid = os.fork()
        if not pid:
            os.close(writing)
            log(engine, number, number + 1)
            os.write(tell, b"x")
            os.read(reading, 1)
            os._exit(0)
        pids.append(pid)
    got = 0
    while got < WORKERS:
        got += len(os.read(ready, WORKERS))
    control = engine._lane.control
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline and not control.write_error:
        time.sleep(0.01)
    os.close(writing)
    for pid in pids:
        os.waitpid(pid, 0)
    engine.close()
    return {"workers": WORKERS}


def starve_workers() -> dict[str, object]:
    engine = start()
    log(engine, -1, 0)
    engine.flush()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for number in range(3):
        pid = os.fork()
        if not pid:
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            log(engine, 0, 100)
            if number == 1:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                deadline = time.monotonic() + 120
                while not engine._lane.claimed and time.monotonic() < deadline:
                    log(engine, 0, 1)
                    time.sleep(0.05)
                engine.flush()
            os._exit(0)
        os.waitpid(pid, 0)
    engine.close()
    return {}


found = {
    "closed": close_all,
    "none left": use_up,
    "writer": starve_writer,
    "workers": starve_workers,
}[what]()
print(json.dumps(found))
