"""What the page costs: `scripts/bench --page`.

A server of its own process serves runs that are made for it. A client asks as a browser does, and
times are those until the last byte is there.
"""

from __future__ import annotations

import http.client
import json
import math
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa

from benchmark.many_runs import make_runs
from benchmark.page_report import measure_report
from benchmark.page_server import PageServer, start_trainer
from expman import ExperimentConfig, LoggingEngine

__all__ = ["PageSizes", "measure_page"]

REPEATS = 5


@dataclass(frozen=True)
class PageSizes:
    """How much is measured."""

    tables: tuple[int, ...] = (1000, 10_000)
    rows: int = 1_000_000
    metrics: int = 20
    compared: int = 100
    tabs: int = 10
    rate: int = 5000
    live_metrics: int = 10
    live_s: float = 30.0
    reported: int = 30
    reported_rows: int = 10_000


TINY = PageSizes((20,), 2000, 3, 10, 2, 200, 3, 3.0, 2, 100)


def measure_page(sizes: PageSizes, scratch: str | None = None) -> Iterator[tuple[str, str]]:
    """Yields what was measured, and the result."""
    with tempfile.TemporaryDirectory(prefix="bench-page-", dir=scratch) as directory:
        for runs in sizes.tables:
            yield from _tables(Path(directory, f"runs-{runs}"), runs, sizes)
        yield from _pictures(Path(directory, "long"), sizes)
        yield from _live(Path(directory, "live"), sizes)
        yield from measure_report(Path(directory), sizes.reported, sizes.reported_rows)


def _tables(base: Path, runs: int, sizes: PageSizes) -> Iterator[tuple[str, str]]:
    make_runs(base, runs, rows=20, processes=2)
    began = time.perf_counter()
    with PageServer(base) as server:
        first = json.loads(server.ask("/api/runs")[0])
        shown_s = time.perf_counter() - began
        shown = len(first["runs"])
        complete = first["complete"]
        if not complete:
            for kind, data in server.events(f"/api/events?version={first['version']}"):
                if kind == "runs" and data["complete"]:
                    break
        whole_s = time.perf_counter() - began
        yield f"table of {runs:,} runs: the first {shown:,}, from the server's start", _ms(shown_s)
        yield f"table of {runs:,} runs: all of them, from the server's start", _ms(whole_s)
        again = _median(lambda: server.ask("/api/runs"))
        yield f"table of {runs:,} runs, once more", _ms(again)
        names = [run["id"] for run in first["runs"][: sizes.compared]]
        query = "&".join(f"run={quote(name)}" for name in names)
        spent = _median(lambda: server.ask(f"/api/compare?{query}"))
        yield f"comparison of {len(names)} of {runs:,} runs", _ms(spent)
        yield f"memory of the server with {runs:,} runs", f"{server.memory_mb:.0f} MB"
    began = time.perf_counter()
    with PageServer(base) as server:
        shown = len(json.loads(server.ask("/api/runs")[0])["runs"])
        spent = time.perf_counter() - began
        yield f"table of {shown:,} of {runs:,} runs, from the next server's start", _ms(spent)


def _pictures(base: Path, sizes: PageSizes) -> Iterator[tuple[str, str]]:
    config = ExperimentConfig("long", str(base), run_name="run", quiet=True)
    with LoggingEngine(config) as engine:
        for step in range(sizes.rows):
            row = {f"m{n}": n + random.random() / (1 + step / 1000) for n in range(sizes.metrics)}
            engine.log_vector(row, step)
    what = f"{sizes.rows:,} rows, {sizes.metrics} metrics"
    with PageServer(base) as server:
        query = "&".join(f"metric=m{n}" for n in range(sizes.metrics))
        numbers = iter(range(2000, 3000))  # another number of points: nothing is remembered

        def picture(more: str = "") -> object:
            return server.ask(f"/api/curves?run=long/run&{query}&points={next(numbers)}{more}")

        began = time.perf_counter()
        picture()
        yield f"first picture: {what}", _ms(time.perf_counter() - began)
        yield f"other pictures: {what}", _ms(_median(picture))
        yield f"one curve of {what}", _ms(_median(lambda: _one(server, next(numbers))))
        middle = sizes.rows // 2
        zoom = f"&from={middle}&to={middle + 1000}"
        yield f"1,000 steps in the middle of {what}", _ms(_median(lambda: picture(zoom)))
        before = server.memory_mb
        for _ in range(30):
            picture()
        yield (
            "memory of the server after 10 and 40 pictures",
            (f"{before:.0f} MB, {server.memory_mb:.0f} MB"),
        )


def _one(server: PageServer, points: int) -> object:
    return server.ask(f"/api/curves?run=long/run&metric=m0&points={points}")


def _live(base: Path, sizes: PageSizes) -> Iterator[tuple[str, str]]:
    base.mkdir()
    trainer = start_trainer(base, sizes.rate, sizes.live_metrics, sizes.live_s + 8)
    ages: list[float] = []
    with PageServer(base) as server:
        query = "&".join(f"metric=m{n}" for n in range(sizes.live_metrics))
        for number in range(sizes.tabs):
            kept = ages if number == 0 else []
            threading.Thread(target=_tab, args=(server, query, kept), daemon=True).start()
        time.sleep(5)
        ages.clear()
        began, used, memory = time.monotonic(), server.cpu_s, server.memory_mb
        time.sleep(sizes.live_s)
        share = (server.cpu_s - used) / (time.monotonic() - began)
        what = f"{sizes.rate:,} rows/s, {sizes.live_metrics} metrics"
        yield f"{sizes.tabs} open tabs of a live run ({what})", f"{100 * share:.1f} % of a core"
        if ages:
            text = f"{_ms(statistics.median(ages))}, at most {_ms(max(ages))}"
            yield f"age of the newest row when a tab has it ({what})", text
        yield (
            f"memory of the server before and after {sizes.live_s:.0f} s of that",
            (f"{memory:.0f} MB, {server.memory_mb:.0f} MB"),
        )
    trainer.wait()  # it ends by itself, with its writer: nothing stays behind


def _tab(server: PageServer, query: str, ages: list[float]) -> None:
    """An open page: it asks for what its cursor lacks whenever there is something."""
    path = f"/api/curves?run=live/live&{query}"
    try:
        cursor = server.ask(path)[1]["x-expman-cursor"]
        for kind, data in server.events("/api/events?run=live/live"):
            if kind != "rows" or data["cursor"] == cursor:
                continue
            body, headers = server.ask(f"{path}&x=time&after={cursor}")
            cursor = headers["x-expman-cursor"]
            with pa.ipc.open_stream(body) as reader:
                times = reader.read_all()["x"].to_numpy()
            if len(times):
                ages.append(time.time() - float(times.max()))
    except (OSError, http.client.HTTPException, AssertionError):
        return  # the server has ended


def _median(ask: Callable[[], object]) -> float:
    spent = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        ask()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


def _ms(seconds: float) -> str:
    digits = max(0, 2 - math.floor(math.log10(max(1.0, 1000 * seconds))))
    return f"{1000 * seconds:.{digits}f} ms"
