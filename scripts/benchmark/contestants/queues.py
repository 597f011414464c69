"""Plain transports to another process, which takes the rows and throws them away."""

from __future__ import annotations

import multiprocessing
import queue
from collections.abc import Mapping
from typing import Any

_END = None


def _make_queue(variant: str) -> Any:
    if variant == "faster-fifo":
        import faster_fifo

        return faster_fifo.Queue(max_size_bytes=64 * 1024 * 1024)
    context = multiprocessing.get_context("fork")
    return context.Queue() if variant == "Queue" else context.SimpleQueue()


def _consume(source: Any, variant: str) -> None:
    while True:
        if variant == "faster-fifo":
            try:
                items = source.get_many(timeout=1.0)
            except queue.Empty:
                continue
        else:
            items = [source.get()]
        if _END in items:
            return


class _Run:
    def __init__(self, variant: str) -> None:
        self._variant = variant
        self._queue = _make_queue(variant)
        context = multiprocessing.get_context("fork")
        self._owner = context.Process(target=_consume, args=(self._queue, variant), daemon=True)
        self._owner.start()
        put = self._queue.put

        def log(values: Mapping[str, float], step: int) -> None:
            put((step, values))

        self.log = log
        self._worker_of = self._owner.pid

    def close(self) -> None:
        if self._owner._parent_pid != multiprocessing.current_process().pid:  # type: ignore[attr-defined]
            if self._variant == "Queue":  # a forked worker: what its thread holds goes out
                self._queue.close()
                self._queue.join_thread()
            return
        self._queue.put(_END)
        self._owner.join()


def open_run(directory: str, variant: str) -> _Run:
    """Opens a queue with a process at its other end; nothing is stored."""
    return _Run(variant)
