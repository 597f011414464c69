"""Plots of results, as SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

from benchmark.report import PICTURES
from benchmark.tables import Merged, cpu_per_row_ns

mpl.use("Agg")
mpl.rcParams["svg.hashsalt"] = "expman"  # the same results make the same file
mpl.rcParams["svg.fonttype"] = "none"
from matplotlib import pyplot as plt  # noqa: E402

_OURS, _FLOOR = "tab:blue", "0.6"


def draw(results: dict[str, Any], directory: Path) -> list[Path]:
    """Draws all plots for which there are results."""
    merged = Merged(results)
    drawn = []
    for measurement, plot in _PLOTS.items():
        if not merged.parts(measurement):
            continue
        figure = plot(merged)
        if figure is not None:
            path = directory / PICTURES[measurement][0]
            figure.savefig(path, metadata={"Date": None})
            plt.close(figure)
            drawn.append(path)
    return drawn


def _style(name: str, number: int) -> dict[str, Any]:
    if name == "expman":
        return {"color": _OURS, "linewidth": 2.5, "zorder": 3}
    if name in ("floor", "empty call"):
        return {"color": _FLOOR, "linestyle": "--"}
    return {"linewidth": 1.2, "color": mpl.colormaps["tab20"](2 + number % 18)}  # 0, 1 are blue


def _lines(axes: Any, merged: Merged, series: dict[str, list[tuple[float, float]]]) -> None:
    for number, (name, points) in enumerate(series.items()):
        if points:
            style = _style(name, number)
            axes.plot(*zip(*points, strict=True), marker=".", label=name, **style)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(alpha=0.3)


def _calls(merged: Merged) -> Any:
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.5), sharey=True, layout="constrained")
    parts = [part for part in merged.parts("calls") if part]
    for axes, field in zip(panels, ("p50", "p99.9"), strict=True):
        series = {
            name: [
                (float(part), max(value, 1.0) / 1e3)
                for part in parts
                if (value := merged.number("calls", name, part, field)) is not None
            ]
            for name in merged.names
        }
        _lines(axes, merged, series)
        axes.set_title(f"a call at full speed, {field}")
        axes.set_xlabel("metrics in a row")
    panels[0].set_ylabel("µs")
    panels[1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _paced(merged: Merged) -> Any:
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.5), sharey=True, layout="constrained")
    rates = (10, 100, 1000)
    for axes, field in zip(panels, ("p50", "p99.9"), strict=True):
        series = {
            name: [
                (float(rate), max(value, 1.0) / 1e3)
                for rate in rates
                if (value := merged.number("paced", name, f"2 at {rate}/s", field)) is not None
            ]
            for name in merged.names
        }
        _lines(axes, merged, series)
        axes.set_title(f"a paced call, caches cold, 2 metrics, {field}")
        axes.set_xlabel("rows per second")
    panels[0].set_ylabel("µs")
    panels[1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _whole(merged: Merged) -> Any:
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    runs = {
        name: [
            values
            for part in merged.parts("whole")
            if "rows" in (values := merged.get("whole", name, part))
        ]
        for name in merged.names
    }
    _lines(panels[0], merged, {n: [(v["rows"], v["total_s"]) for v in r] for n, r in runs.items()})
    cpu = {n: [(v["rows"], max(1.0, cpu_per_row_ns(v)) / 1e3) for v in r] for n, r in runs.items()}
    _lines(panels[1], merged, cpu)
    panels[0].set_title("first row until close() returned")
    panels[0].set_ylabel("s")
    panels[1].set_title("CPU of all processes per row")
    panels[1].set_ylabel("µs")
    for axes in panels:
        axes.set_xlabel("rows")
    panels[1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _trainer(merged: Merged) -> Any:
    found = {
        name: value
        for name in merged.names
        if (value := merged.number("trainer", name, "", "slow_down")) is not None
    }
    if not found:
        return None
    figure, axes = plt.subplots(figsize=(8, 0.4 * len(found) + 1.2), layout="constrained")
    names = sorted(found, key=lambda name: -found[name])
    colors = [_OURS if name == "expman" else _FLOOR for name in names]
    slower = [100 * (found[name] - 1) for name in names]
    axes.barh(names, slower, color=colors)
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlabel("% slower than without logging (2 metrics after each millisecond of work)")
    axes.grid(axis="x", alpha=0.3)
    return figure


_PLOTS = {"calls": _calls, "paced": _paced, "whole": _whole, "trainer": _trainer}
