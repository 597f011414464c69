"""How soon a report opens in Chromium: a part of `scripts/bench --page`.

The browser is driven by Playwright, in an environment of its own. Processor time is that of the
process that draws the page; unlike the time on the clock it hardly depends on what else runs.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmark.environments import make_named
from expman import ExperimentConfig, LoggingEngine
from expman.dashboard.report import make_report

__all__ = ["measure_report"]

METRICS = 8
_LOOK = """
import json, sys, time
from playwright.sync_api import sync_playwright
address, chromium, opens = sys.argv[1], sys.argv[2], int(sys.argv[3])
THERE = "!!document.querySelector('.card canvas') && !document.querySelector('.card.busy')"
found = []
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    for _ in range(opens):
        tab = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        session = tab.context.new_cdp_session(tab)
        session.send("Performance.enable")
        began = time.perf_counter()
        tab.goto(address, wait_until="commit")
        while not tab.evaluate(THERE):
            time.sleep(0.02)
        # The picture is there when the next frame is drawn.
        tab.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
        wall = time.perf_counter() - began
        metrics = session.send("Performance.getMetrics")["metrics"]
        values = {one["name"]: one["value"] for one in metrics}
        found.append((wall, values["ProcessTime"], values["ScriptDuration"]))
        tab.context.close()
    browser.close()
print(json.dumps(found))
"""


def measure_report(directory: Path, runs: int, rows: int) -> Iterator[tuple[str, str]]:
    """Yields the size of a report, and how soon its curves are there."""
    what = f"report of {runs} runs of {rows:,} rows, {METRICS} metrics"
    run_dirs = [_recorded(directory / "runs", number, rows) for number in range(runs)]
    data = make_report(run_dirs)
    path = directory / "report.html"
    path.write_bytes(data)
    yield f"size of a {what}", f"{len(data) / 1e6:.1f} MB"
    chromium = shutil.which("chromium")
    if chromium is None:
        yield f"{what}: opened", "not measured: there is no chromium (apt-get install chromium)"
        return
    environment = make_named("browser", ["playwright>=1.40"])
    if environment.error:
        yield f"{what}: opened", f"not measured: playwright {environment.error}"
        return
    command = [environment.python, "-c", _LOOK, path.resolve().as_uri(), chromium, "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    if done.returncode:
        sys.stderr.write(done.stderr)
        yield f"{what}: opened", "not measured: the browser failed"
        return
    found = sorted(json.loads(done.stdout))
    wall, cpu, script = found[len(found) // 2]
    yield f"{what}: its first picture", f"{1000 * wall:.0f} ms"
    yield f"{what}: processor time until then", f"{1000 * cpu:.0f} ms ({1000 * script:.0f} scripts)"


def _recorded(base: Path, number: int, rows: int) -> str:
    config = ExperimentConfig("report", str(base), run_name=f"run-{number}", quiet=True)
    with LoggingEngine(config) as engine:
        engine.log_params({"lr": 0.001 * number, "seed": number % 5})
        for step in range(rows):
            row = {f"m{n}": n + random.random() / (1 + step / 1000) for n in range(METRICS)}
            engine.log_vector(row, step)
    return str(engine.run_dir)
