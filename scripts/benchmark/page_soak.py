"""Whether the page's server keeps its memory flat: `scripts/bench --page --soak MINUTES`.

A run goes on, other runs begin and end, and tabs look at all of it in every way: they follow, zoom,
open views, go away and come back.
"""

from __future__ import annotations

import http.client
import json
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from benchmark.page_server import PageServer, start_trainer
from expman import ExperimentConfig, LoggingEngine

__all__ = ["soak_page"]

TABS = 4
RATE = 500
METRICS = 10
SAMPLE_S = 30.0
NEW_RUN_S = 15.0
VIEWS = (
    "?",
    "/console?tail=200&",
    "/messages?from=0&",
    "/system?points=500&",
    "/media?",
    "/histograms?",
)


def soak_page(minutes: float, scratch: str | None = None) -> Iterator[tuple[str, str]]:
    """Yields what the server has, every half minute."""
    with tempfile.TemporaryDirectory(prefix="bench-soak-", dir=scratch) as directory:
        base = Path(directory, "runs")
        base.mkdir()
        trainer = start_trainer(base, RATE, METRICS, 60 * minutes + 5)
        over = threading.Event()
        with PageServer(base) as server:
            threads = [
                threading.Thread(target=_tab, args=(server, number, over), daemon=True)
                for number in range(TABS)
            ]
            threads.append(threading.Thread(target=_new_runs, args=(base, over), daemon=True))
            for thread in threads:
                thread.start()
            began = time.monotonic()
            while time.monotonic() - began < 60 * minutes:
                over.wait(min(SAMPLE_S, 60 * minutes))
                passed = time.monotonic() - began
                yield (
                    f"server after {passed / 60:.1f} min",
                    f"{server.memory_mb:.1f} MB, {server.open_files} open files, "
                    f"{server.cpu_s / passed:.1%} of a core",
                )
            over.set()
            for thread in threads:
                thread.join(20)
        trainer.wait()


def _tab(server: PageServer, number: int, over: threading.Event) -> None:
    """An open page: it follows for a while, looks at other things, goes away, and comes back."""
    dice = random.Random(number)
    query = "&".join(f"metric=m{one}" for one in range(METRICS))
    curves = f"/api/curves?run=live/live&{query}"
    while not over.is_set():
        try:
            runs = json.loads(server.ask("/api/runs")[0])
            cursor = server.ask(f"{curves}&points=1200")[1]["x-expman-cursor"]
            until = time.monotonic() + dice.uniform(10, 40)
            version = quote(runs["version"])
            for kind, data in server.events(f"/api/events?run=live/live&version={version}"):
                if kind == "rows" and data["cursor"] != cursor:
                    cursor = server.ask(f"{curves}&after={cursor}")[1]["x-expman-cursor"]
                if over.is_set() or time.monotonic() > until:
                    break
            low = dice.uniform(0, 1000)
            server.ask(f"{curves}&from={low}&to={low + 500}&points=1200")
            names = [run["id"] for run in runs["runs"]]
            for name in dice.sample(names, min(3, len(names))):
                for view in VIEWS:
                    server.ask(f"/api/run{view}run={name}")
            if len(names) > 1:
                server.ask("/api/compare?" + "&".join(f"run={name}" for name in names[:20]))
        except (OSError, http.client.HTTPException, AssertionError):
            if not over.wait(1.0):
                continue


def _new_runs(base: Path, over: threading.Event) -> None:
    number = 0
    while not over.wait(NEW_RUN_S):
        config = ExperimentConfig("short", str(base), run_name=f"run-{number}", quiet=True)
        with LoggingEngine(config) as engine:
            engine.log_params({"number": number})
            for step in range(200):
                engine.log_vector({"loss": random.random()}, step)
        number += 1
