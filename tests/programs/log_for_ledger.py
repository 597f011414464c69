"""Logs rows and all else, and keeps count of the calls that returned.

log_for_ledger.py OPTIONS: a JSON object, see `Options`. The counts stand in the file `ledger`, a
mapping, which survives SIGKILL; a forked worker's are behind the owner's. Everything that is logged
follows from its number, so `process.ledger` can tell what must be in the files. Prints the run's
directory, and `closed` after close().
"""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import signal
import sys
import time
from pathlib import Path

import msgspec

from expman import ExperimentConfig, LoggingEngine
from expman.errors import FlushError

ROWS, LINES, PARAMS, SCALARS, ARTIFACTS, WAITS, WORKER_ROWS, WORKER_END, PRINTED = range(9)
MEDIA = 9
SIDE = 160  # a picture of that is too large for the lane


class Options(msgspec.Struct):
    """What to do.

    Attributes:
        rows: so many; 0: until `gone` is gone, and `after_s` longer.
        pause_every: after so many rows it sleeps for 3 ms; 0: never.
        files_stay: files are not deleted once they were saved as artifacts.
        worker: a forked child logs, too, and ends long before the owner.
        flush_at: with so many rows it flushes, prints its durable_seq and durable_step, and waits
            for a line on standard input; 0: never.
        flush_again: after the last row it flushes in vain, and says what is durable.
        stay: after close() it waits for a line on standard input.
        end: close, return, raise, exit, os_exit, memory, eat, wait or a signal's name.
    """

    base_dir: str
    ledger: str
    rows: int = 0
    gone: str = ""
    after_s: float = 0.5
    pause_every: int = 50
    max_buffer_bytes: int = 64 * 1024 * 1024
    overflow: str = "block"
    others: bool = True
    files_stay: bool = False
    worker: bool = False
    worker_rows: int = 2000
    flush_at: int = 0
    flush_again: bool = False
    stay: bool = False
    end: str = "close"


options = msgspec.json.decode(sys.argv[1], type=Options)
with open(options.ledger, "r+b") as file:
    counts = memoryview(mmap.mmap(file.fileno(), 8 * 10)).cast("Q")
engine = LoggingEngine(
    ExperimentConfig(
        "faults",
        options.base_dir,
        run_name="run",
        max_buffer_bytes=options.max_buffer_bytes,
        overflow=options.overflow,  # type: ignore[arg-type]
        flush_interval_ms=50,
        system_metrics_interval_secs=1,
        capture_provenance=True,
        redirect_console=True,
    )
)
print(engine.run_dir)
own_lane = engine._lane._own
may_wait = own_lane._on_wait


def note_wait() -> bool:
    counts[WAITS] += 1
    return may_wait()


own_lane._on_wait = note_wait


def log_row(n: int, word: int) -> None:
    # Two sets of metrics take turns, so that rows, not runs of rows, are what must be whole.
    row = {"n": n, "half": n / 2} if n % 7 else {"n": n, "seventh": n // 7, "text": f"t{n}"}
    engine.log_vector(row, n)
    counts[word] = n + 1


def log_others(number: int) -> None:
    engine.log_message("INFO", f"line {number}")
    counts[LINES] = number + 1
    print(f"printed {number}", file=sys.stderr)
    counts[PRINTED] = number + 1
    engine.log_params({f"p{number}": {"value": number}})
    counts[PARAMS] = number + 1
    engine.log_scalar("best", number)
    counts[SCALARS] = number + 1
    if number % 5 == 0:
        path = Path(f"{options.ledger}.artifact-{number}")
        path.write_text(f"artifact {number}\n" * 100)
        engine.save_artifact(path, f"files/{number}.txt")
        counts[ARTIFACTS] = number + 1
        if not options.files_stay:
            path.unlink()

    if number % 5 == 2:
        log_media(number)


def log_media(number: int) -> None:
    engine.log_text("sample/text", f"text {number}", number)
    engine.log_histogram("weights", edges=[0, 1, 2], counts=[number, 1], step=number)
    if options.max_buffer_bytes >= 2**20:
        pixels = memoryview(bytes([number % 256]) * (SIDE * SIDE * 3))
        engine.log_image("sample", pixels.cast("B", (SIDE, SIDE, 3)), number)
    counts[MEDIA] = number + 1


def keep_on() -> bool:
    global leave_at
    if options.rows:
        return n < options.rows
    if leave_at is None and not os.path.exists(options.gone):
        leave_at = time.monotonic() + options.after_s
    return leave_at is None or time.monotonic() < leave_at


def be_a_worker() -> None:
    for number in range(options.worker_rows):
        log_row(number, WORKER_ROWS)
    counts[WORKER_END] = 1
    os._exit(0)


n, leave_at = 0, None
child = 0
while n % 500 or keep_on():
    log_row(n, ROWS)
    n += 1
    if options.others and n % 200 == 1:
        log_others(n // 200)
    if n == options.flush_at:
        engine.flush()
        print(f"durable {engine.durable_seq} {engine.durable_step}")
        sys.stdin.readline()
    if n == 300 and options.worker:
        child = os.fork()
        if not child:
            be_a_worker()
    if options.pause_every and n % options.pause_every == 0:
        time.sleep(0.003)
if child:
    os.waitpid(child, 0)

if options.flush_again:
    try:
        engine.flush(timeout_s=2.0)
    except FlushError:
        print(f"not durable {engine.durable_seq} {engine.durable_step}")

match options.end:
    case "close":
        engine.close()
        print("closed")
        if options.stay:
            sys.stdin.readline()
    case "raise":
        raise ArithmeticError("the loss is not a number")
    case "exit":
        sys.exit(3)
    case "os_exit":
        os._exit(3)
    case "memory":
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, used + 2**26))
        bytearray(2**30)
    case "eat":
        eaten = [bytearray(os.urandom(2**16)) for _ in range(2**20)]
    case "SIGSEGV":
        ctypes.string_at(0)
    case "SIGINT" | "SIGTERM" | "SIGKILL" as name:
        os.kill(os.getpid(), getattr(signal, name))
        time.sleep(60)
    case "wait":
        print("waits")
        sys.stdin.readline()
