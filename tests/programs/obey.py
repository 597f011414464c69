"""Logs as it is told, and answers every line of its standard input with a line of JSON.

obey.py BASE_DIR [SETTING=VALUE …]: SETTING is one of ExperimentConfig. The lines:

    open NAME          starts the run NAME
    log N              logs N rows; row n is {"n": n, "half": n / 2} at step n
    more N             logs N rows, a message, a scalar, parameters and an artifact
    flush S, close S   with a timeout of S seconds
    python PATH        from now on, writers are started by this interpreter
    pause S            from now on, a writer that keeps failing is tried again after S seconds
    address            has the engine's address as `text`
    fork N             has a forked child log N rows
    exit N             ends the program by sys.exit(N)
    handler KIND PATH  warnings make PATH, and go to a handler that forwards them into the run,
                       never returns, raises an exception, or ends its thread

Answers have the number of rows logged, how often the thread gave up the processor to wait for
something, what was raised, and the warnings that the user has got.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
import threading

from expman import ExperimentConfig, ExpmanError, LoggingEngine
from expman.launch import supervisor

warnings: list[str] = []


class Collector(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        warnings.append(record.getMessage())


class Nuisance(logging.Handler):
    def __init__(self, trainer: Trainer, kind: str, mark: str) -> None:
        super().__init__()
        self.trainer, self.kind, self.mark = trainer, kind, mark

    def emit(self, record: logging.LogRecord) -> None:
        with open(self.mark, "w"):
            pass
        if self.kind == "forward":
            self.trainer.engine.log_message("WARN", record.getMessage())
        elif self.kind == "block":
            threading.Event().wait()
        elif self.kind == "raise":
            raise RuntimeError("this handler is broken")
        else:
            sys.exit(1)


class Trainer:
    def __init__(self, base_dir: str, settings: dict[str, object]) -> None:
        self.base_dir = base_dir
        self.settings = settings
        self.logged = 0

    def open(self, name: str) -> None:
        config = ExperimentConfig("faults", self.base_dir, run_name=name, **self.settings)
        self.logged = 0
        self.engine = LoggingEngine(config)

    def log(self, count: str) -> None:
        for n in range(self.logged, self.logged + int(count)):
            self.engine.log_vector({"n": n, "half": n / 2}, n)
            self.logged = n + 1

    def more(self, count: str) -> None:
        self.log(count)
        self.engine.log_message("INFO", f"message {self.logged}")
        self.engine.log_scalar("logged", self.logged)
        self.engine.log_params({f"p{self.logged}": self.logged})
        name = f"source-{os.path.basename(self.engine.run_dir)}-{self.logged}"
        path = os.path.join(os.path.dirname(self.base_dir), name)
        with open(path, "w") as file:
            file.write(str(self.logged))
        self.engine.save_artifact(path, f"a{self.logged}")

    def flush(self, timeout_s: str) -> None:
        self.engine.flush(float(timeout_s))

    def close(self, timeout_s: str) -> None:
        self.engine.close(timeout_s=float(timeout_s))

    def python(self, path: str) -> None:
        os.environ["EXPMAN_PYTHON"] = path

    def pause(self, seconds: str) -> None:
        supervisor.SUCCESSOR_S = 0.01
        supervisor.FIRST_PAUSE_S = supervisor.LONGEST_PAUSE_S = float(seconds)

    def address(self) -> str:
        return self.engine.address

    def fork(self, count: str) -> None:
        pid = os.fork()
        if not pid:
            self.log(count)
            self.engine.close()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0

    def handler(self, kind: str, mark: str) -> None:
        logging.getLogger("expman").addHandler(Nuisance(self, kind, mark))

    def exit(self, status: str) -> None:
        sys.exit(int(status))

    def state(self) -> None:
        pass


def count_waits() -> int:
    """How often this thread has waited so far; being kept waiting by others is not counted."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


def main(base_dir: str, *given: str) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    logging.getLogger("expman").addHandler(Collector())
    settings = {
        name: int(value) if value.isdigit() else value
        for name, value in (text.split("=") for text in given)
    }
    trainer = Trainer(base_dir, settings)
    for line in sys.stdin:
        word, *arguments = line.split()
        error, text = None, None
        waits = count_waits()
        try:
            text = getattr(trainer, word)(*arguments)
        except ExpmanError as exc:
            error = f"{type(exc).__name__}: {exc}"
        answer = {
            "logged": trainer.logged,
            "waits": count_waits() - waits,
            "error": error,
            "text": text,
            "warnings": warnings,
        }
        print(json.dumps(answer))


main(*sys.argv[1:])
