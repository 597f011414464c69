"""Rows of numpy and torch scalars, and of several sets of names in turn, beside rows of floats."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any

from benchmark.child import load
from benchmark.contestants import Contestant
from benchmark.timing import clock, clock_overhead_ns, describe, make_rows

BLOCK_ROWS = 200
SETS = 8


def run(contestant: Contestant, directory: str, params: dict[str, Any]) -> dict[str, Any]:
    """Compares for each number of metrics; each kind has a run of its own, and they take turns."""
    module = load(contestant)
    parts = {}
    for metrics in params["metrics"]:
        plain = make_rows(metrics)
        kinds = {name: _rows(plain, name) for name in _names()}
        runs = {
            name: module.open_run(os.path.join(directory, f"{metrics}-{name}"), contestant.variant)
            for name in kinds
        }
        try:
            found = _compare({name: (runs[name].log, rows) for name, rows in kinds.items()}, params)
        finally:
            for one in runs.values():
                one.close()
        floats = max(1, found["floats"]["p50"])
        parts[str(metrics)] = {"p50": floats} | {
            f"{name}_ratio": values["p50"] / floats
            for name, values in found.items()
            if name != "floats"
        }
    return {"parts": parts}


def _names() -> list[str]:
    names = ["floats", "sets"]
    if importlib.util.find_spec("numpy"):
        names += ["float64", "float32", "int64"]
    return names + (["tensor", "item"] if importlib.util.find_spec("torch") else [])


def _rows(plain: list[dict[str, float]], kind: str) -> list[dict[str, Any]]:
    if kind == "sets":
        return [
            {f"set_{number % SETS}_{key}": value for key, value in row.items()}
            for number, row in enumerate(plain)
        ]
    make: Callable[[float], Any] = float
    if kind in ("float64", "float32", "int64"):
        import numpy as np

        scale = 1e9 if kind == "int64" else 1.0
        make = lambda value: getattr(np, kind)(value * scale)  # noqa: E731
    elif kind in ("tensor", "item"):
        import torch

        make = torch.tensor
    return [{key: make(value) for key, value in row.items()} for row in plain]


def _log_items(log: Any) -> Any:
    return lambda row, step: log({key: value.item() for key, value in row.items()}, step)


def _compare(runs: dict[str, Any], params: dict[str, Any]) -> dict[str, dict[str, float]]:
    overhead = clock_overhead_ns()
    samples: dict[str, list[int]] = {name: [] for name in runs}
    order = list(runs)
    for turn in range(params["turns"] + 1):
        for name in order:
            log, rows = runs[name]
            call = _log_items(log) if name == "item" else log
            taken = []
            for step in range(BLOCK_ROWS):
                row = rows[step % len(rows)]
                start = clock()
                call(row, step)
                taken.append(clock() - start)
            if turn:  # the first turn warms up
                samples[name] += taken
        order.reverse()
    return {name: describe(taken, overhead) for name, taken in samples.items()}
