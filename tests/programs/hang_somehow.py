"""Logs ten rows, then hangs or ends in the way that it is told.

hang_somehow.py BASE_DIR HOW: prints the run's directory once the rows are logged.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import signal
import sys
import threading
import time

from expman import ExperimentConfig, LoggingEngine

base, how = sys.argv[1:]
engine = LoggingEngine(
    ExperimentConfig("hang", base, run_name="run", hang_after_s=1, redirect_console=True)
)
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
print("in the console", file=sys.stderr)


def log_rows() -> None:
    for step in range(10):
        engine.log_vector({"loss": float("nan") if how == "nan" and step > 4 else 1.0}, step)
        time.sleep(0.01)


def be_a_rank(rank: int, parent: int) -> None:
    """Logs until the job's first process is gone; rank 2 stops at a step, and the others go on."""
    os.environ["RANK"] = str(rank)
    step = 0
    while os.getppid() == parent:
        engine.log_vector({"loss": 1.0}, step)
        if rank == 2 and step == 12:
            stand_still(threading.Lock())
            os._exit(0)
        step += 1
        time.sleep(0.02)
    os._exit(0)


def stand_still(lock: threading.Lock) -> None:
    with lock:
        sys.stdin.readline()


log_rows()
if how not in ("deadlock", "gil"):
    engine.flush()  # so the writer knows this process, whatever it comes to
match how:
    case "deadlock":
        lock = threading.Lock()
        lock.acquire()
        print(engine.run_dir)
        lock.acquire()
    case "sleep":
        print(engine.run_dir)
        sys.stdin.readline()
        log_rows()
        sys.stdin.readline()
    case "gil":
        print(engine.run_dir, flush=True)
        re.match(r"(a+)+$", "a" * 40 + "b")
    case "worker":
        child = os.fork()
        if not child:
            log_rows()
            stand_still(threading.Lock())
            os._exit(0)
        print(engine.run_dir)
        while True:
            log_rows()
    case "rank":
        owner = os.getpid()
        for rank in (1, 2, 3):
            if not os.fork():
                be_a_rank(rank, owner)
        print(engine.run_dir)
        step = 10
        while True:
            engine.log_vector({"loss": 1.0}, step)
            step += 1
            time.sleep(0.02)
    case "exec":
        print(engine.run_dir, flush=True)
        os.execvp("sleep", ["sleep", "60"])
    case "closed":
        os.closerange(3, 256)
        with open(f"{base}/own", "w+b") as own:
            os.dup2(own.fileno(), 100)
            print(engine.run_dir)
            sys.stdin.readline()
    case "SIGSEGV":
        print(engine.run_dir, flush=True)
        ctypes.string_at(0)
    case "SIGBUS":
        print(engine.run_dir, flush=True)
        with open(f"{base}/short", "w+b") as short:
            short.truncate(4096)
            pages = mmap.mmap(short.fileno(), 4096)
            short.truncate(0)
            pages[0]
    case "sigterm":
        print(engine.run_dir, flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
    case "exit":
        print(engine.run_dir, flush=True)
        sys.exit(3)
    case "raise" | "nan":
        print(engine.run_dir, flush=True)
        raise ValueError("the loss is not a number")
    case "kill":
        print(engine.run_dir, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
