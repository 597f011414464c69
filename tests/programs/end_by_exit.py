"""Ends in the way that it is told, with a run that it never closes.

end_by_exit.py BASE_DIR WAY
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading

import expman


def call() -> None:
    sys.exit(3)


def through_finally() -> None:
    try:
        sys.exit(3)
    finally:
        print("cleaned up")


def raised_again() -> None:
    try:
        sys.exit(3)
    except SystemExit as exc:
        exc.code = 4
        raise


def caught() -> None:
    with contextlib.suppress(SystemExit):
        sys.exit(3)


def asked_for_its_code() -> None:
    try:
        sys.exit(3)
    except SystemExit as exc:
        print(exc.code)


def in_thread() -> None:
    thread = threading.Thread(target=sys.exit, args=(3,))
    thread.start()
    thread.join()


def wrong_usage() -> None:
    argparse.ArgumentParser().parse_args(["--unknown"])


run = expman.Experiment("ends", "run", sys.argv[1])
run.log_vector({"n": 0}, 0)
if sys.argv[2] == "module":
    for code in (0, 3):
        if code:
            sys.exit(code)
elif sys.argv[2] == "text":
    sys.exit("no more data")
elif sys.argv[2] == "zero":
    sys.exit(0)
else:
    globals()[sys.argv[2]]()
