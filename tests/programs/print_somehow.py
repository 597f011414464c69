"""Prints as it is asked, in a run that records descriptors 1 and 2.

print_somehow.py BASE_DIR [RUN]: commands come from standard input, one a line.

    print TEXT    Python prints, and flushes
    c TEXT        the C library prints, without a flush
    write TEXT    a child process prints
    err TEXT      Python prints to stderr
    fork TEXT     a forked child prints
    attach TEXT   a program that attaches to the run prints
    terminal      prints what it knows of its terminal
    row           logs a row
    linger        starts a child process that lives as long as this one, and prints nothing
    kill          ends itself by SIGKILL
    close         closes the run and goes on
    end           returns

Each but `kill` is answered by a line of the file descriptor 3, if that is open.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys

from expman import ExperimentConfig, LoggingEngine

ATTACHED = "import expman, sys; expman.attach(sys.argv[1]); print(sys.argv[2], flush=True)"

base_dir, *run_name = sys.argv[1:]
engine = LoggingEngine(
    ExperimentConfig("console", base_dir, run_name=(run_name or ["run"])[0], redirect_console="fd")
)
libc = ctypes.CDLL(None)
for line in sys.stdin:
    word, _, text = line.rstrip("\n").partition(" ")
    match word:
        case "print":
            print(text, flush=True)
        case "c":
            libc.printf(text.encode() + b"\n")
        case "write":
            subprocess.run(["echo", text], check=True)
        case "err":
            print(text, file=sys.stderr)
        case "fork":
            if not os.fork():
                print(text, flush=True)
                os._exit(0)
            os.wait()
        case "attach":
            subprocess.run([sys.executable, "-c", ATTACHED, engine.address, text], check=True)
        case "terminal":
            print(os.isatty(1), *os.get_terminal_size(1), flush=True)
        case "row":
            engine.log_vector({"n": 1.0}, 1)
        case "linger":
            watch = f"while kill -0 {os.getpid()}; do sleep 0.1; done 2>/dev/null"
            subprocess.Popen(["sh", "-c", watch])
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "close":
            engine.close()
        case "end":
            break
    with contextlib.suppress(OSError):
        os.write(3, b"done\n")
