"""What a picture costs its call, beside one memcpy of it: the least that any logger pays."""

from __future__ import annotations

import statistics
import time
from typing import Any

from benchmark.contestants import Contestant

SHAPE = (1024, 1024, 3)
SIZE = SHAPE[0] * SHAPE[1] * SHAPE[2]


def run(contestant: Contestant, directory: str, params: dict[str, Any]) -> dict[str, Any]:
    """Logs `pictures` pictures, each of which the writer has stored before the next one."""
    from expman import Experiment

    source = memoryview(bytes(range(256)) * (SIZE // 256))
    target = memoryview(bytearray(SIZE))
    picture = source.cast("B", SHAPE)
    calls, copies, durable = [], [], []
    with Experiment("pictures", base_dir=directory, quiet=True, redirect_console=False) as logged:
        for step in range(params["pictures"] + 1):
            start = time.perf_counter()
            target[:] = source
            copied = time.perf_counter()
            logged.log_image("picture", picture, step)
            called = time.perf_counter()
            logged.flush()
            if step:  # the first one makes its spool
                copies.append(copied - start)
                calls.append(called - copied)
                durable.append(time.perf_counter() - called)
    return {
        "call_ms": statistics.median(calls) * 1e3,
        "memcpy_ms": statistics.median(copies) * 1e3,
        "ratio": statistics.median(calls) / statistics.median(copies),
        "durable_ms": statistics.median(durable) * 1e3,
    }
