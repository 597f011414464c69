"""One measurement: a JSON job comes in by standard input, JSON goes out by standard output."""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from typing import Any

from benchmark.contestants import BY_NAME, Contestant, Module


def load(contestant: Contestant) -> Module:
    """Imports a contestant's module."""
    module: Any = importlib.import_module(f"benchmark.contestants.{contestant.module}")
    return module  # type: ignore[no-any-return]


def main() -> None:
    """Does the job and prints what came out, or what went wrong."""
    # What contestants print goes to standard error.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    job = json.load(sys.stdin)
    contestant = BY_NAME[job["contestant"]]
    if contestant.directory_variable is not None:
        os.environ[contestant.directory_variable] = job["directory"]
    try:
        task = importlib.import_module(f"benchmark.tasks.{job['task']}")
        result = {"result": task.run(contestant, job["directory"], job["params"])}
    except Exception as exc:  # noqa: BLE001 - the top of a process: the report says what it was
        traceback.print_exc()
        result = {"error": f"{type(exc).__name__}: {exc}"[:500]}
    answer.write(json.dumps(result))
    answer.flush()


if __name__ == "__main__":
    main()
