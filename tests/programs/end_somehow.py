"""Logs a row into a run that nobody closes, and ends in the way that it is told.

Usage: end_somehow.py BASE_DIR HOW
"""

import atexit
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

from expman import ExperimentConfig, LoggingEngine

base_dir, how = sys.argv[1:]


def fail() -> None:
    raise ValueError("diverged")


def log_at_exit(engine: LoggingEngine) -> None:
    engine.log_vector({"a": 2.0}, 1)


def caught_exit() -> None:
    try:
        sys.exit(3)
    except SystemExit:
        pass


def caught_exit_then_fail() -> None:
    caught_exit()
    fail()


def exit_in_thread() -> None:
    thread = threading.Thread(target=sys.exit, args=(3,))
    thread.start()
    thread.join()


def exit_from_except() -> None:
    try:
        fail()
    except ValueError:
        sys.exit("gave up")


def exit_through_finally() -> None:
    try:
        sys.exit(3)
    finally:
        caught_exit()


def exit_past_handlers() -> None:
    try:
        with contextlib.suppress(ValueError):
            sys.exit(3)
    except KeyboardInterrupt:
        print("not this")
    finally:
        print("on the way out")


def exit_in_generator() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        sys.exit(3)

    print(sum(numbers()))


def caught_in_generator() -> None:
    def numbers() -> Iterator[int]:
        try:
            sys.exit(3)
        except SystemExit:
            yield 1

    print(next(numbers()))


def caught_exit_then_exit_0() -> None:
    try:
        sys.exit(3)
    except SystemExit:
        sys.exit(0)


def raise_exit() -> None:
    raise SystemExit(3)


def killed_after_a_child_has_ended_well() -> None:
    """An exit handler forks a child, which comes to exit(), as this process does not."""

    def fork() -> None:
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
            os.kill(os.getpid(), signal.SIGKILL)

    later.append(fork)


def interrupt() -> None:
    raise KeyboardInterrupt


WAYS = {
    "end": lambda: None,
    "exception": fail,
    "interrupt": interrupt,
    "exit-3": lambda: sys.exit(3),
    "exit-0": lambda: sys.exit(0),
    "exit-text": lambda: sys.exit("no data"),
    "caught-exit": caught_exit,
    "caught-exit-then-exception": caught_exit_then_fail,
    "exit-in-thread": exit_in_thread,
    "exit-from-except": exit_from_except,
    "exit-through-finally": exit_through_finally,
    "exit-past-handlers": exit_past_handlers,
    "exit-in-generator": exit_in_generator,
    "caught-in-generator": caught_in_generator,
    "caught-exit-then-exit-0": caught_exit_then_exit_0,
    "exit-builtin": lambda: exit(3),
    "quit-builtin": lambda: quit(3),
    "raise-exit": raise_exit,
    "exit-negative": lambda: sys.exit(-1),
    "kill-after-a-child": killed_after_a_child_has_ended_well,
    "os-exit-at-exit": lambda: atexit.register(lambda: os._exit(3)),
    "os-exit-0-at-exit": lambda: atexit.register(lambda: os._exit(0)),
    "os-exit-at-exit-later": lambda: later.append(lambda: os._exit(4)),
    "kill-at-exit-later": lambda: later.append(lambda: os.kill(os.getpid(), signal.SIGKILL)),
    "os-exit": lambda: os._exit(0),
    "sigkill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "sigterm": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "log-at-exit": lambda: atexit.register(log_at_exit, engine),
}

later: list[Callable[[], object]] = []
atexit.register(lambda: [call() for call in later])  # before the engine's: it is called after that
engine = LoggingEngine(ExperimentConfig("ends", base_dir, run_name="run"))
engine.log_vector({"a": 1.0}, 0)
try:
    WAYS[how]()
except ZeroDivisionError:
    print("not this either")
