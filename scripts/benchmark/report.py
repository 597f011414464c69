"""The report: all tables of some results, and the summary that README.md shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmark.goals import goals
from benchmark.plan import TITLES
from benchmark.tables import Merged, Table, size_text, tables, time_text

_NOTES = {
    "imports": "In a new interpreter; the files are in the page cache. The fastest of a round is "
    "compared: whatever disturbs an import can only make it longer. expman and msgspec take "
    "turns.",
    "start": "In a process that has imported the contestant; `Popen alone` starts an interpreter "
    "as the engine does, and does not wait for it.",
    "floors": "In turns of a few hundred calls in one process. The floor is one Python call with "
    "the same arguments, `time_ns` and msgspec's encoding of `tuple(values.values())`, thrown "
    "away.",
    "kinds": "Medians of calls in turns, as ratios to rows of Python floats: scalars of numpy, "
    "eight sets of names in turn, and, where torch is installed, 0-d tensors beside `.item()` on "
    "each.",
    "calls": "One call after the other.",
    "paced": "The process sleeps between the calls and copies a megabyte just before each, so "
    "that caches are as cold as in a training loop. A contestant whose calls take longer than "
    "the pace allows makes fewer.",
    "threads": "Of one process, into one run.",
    "workers": "expman: forked children of one engine, into one run; transports: forked "
    "children, into one queue; the others: each child opens a run of its own, which asks less.",
    "trainer": "Pure Python that always wants the GIL, a row after each millisecond of work. "
    "Stretches with and without logging take turns in one process; the slow-down is the median "
    "of the ratios of neighbours.",
    "busy": "The same work divided among 8 threads, each of which logs.",
    "observed": "The same trainer. In one of two stretches a run is open that logs a row after "
    "each millisecond, samples the machine every second, and has recorded its provenance; in the "
    "other there is no run. “CPU in the calls” is the processor time of the training thread within "
    "them, less that of calls of an empty function, to that of its work; “a unit beside the run” "
    "compares the processor time of the work alone. Samples are taken one after the other, so that "
    "few values change.",
    "pictures": "1024×1024×3 bytes, one picture after the other, each as soon as the one before is "
    "a PNG; before each call the same bytes are copied once into memory that is there.",
    "whole": "2 metrics, full speed, from the first row until `close()` has returned. “Others” "
    "are all other processes of the run. “(bound)”: stopped after as many rows as the time "
    "allowed. “Stored” are the rows read back after small runs. The half second before the first "
    "row, in which a contestant's process may start, is not part of it. Running processes are "
    "known by the clock tick: 10 ms. A process that was forked has its parent's memory as its "
    "peak.",
    "column": "Rows of 1,000 metrics, random numbers with all their digits, from the two that "
    "write Parquet: read back with pyarrow, from the page cache.",
    "killed": "The process kills itself right after the last call; what it left behind gets 15 "
    "seconds to finish; then the rows are counted.",
    "delay": "100 rows per second; another process counts the rows every 30 ms, and those that "
    "it cannot see 15 s after the last call are counted, too.",
}


def write_report(results: list[dict[str, Any]], directory: Path) -> list[Path]:
    """Writes `report.md` with all tables and `summary.md` with the comparison.

    Args:
        results: raw results; those of one interpreter count together. The tables of the
            interpreter that comes first stand first.
        directory: is made if it does not exist.
    """
    directory.mkdir(parents=True, exist_ok=True)
    report, short = directory / "report.md", directory / "summary.md"
    report.write_text(f"# Report\n\n{report_text(results)}\n")
    short.write_text(summary(Merged(by_interpreter(results)[0])).markdown() + "\n")
    return [report, short]


def report_text(results: list[dict[str, Any]]) -> str:
    """Sources, goals, and the tables of all measurements."""
    about = _about(results)
    results = by_interpreter(results)
    parts = [about, _goals(results)]
    first = Merged(results[0])
    for measurement, title in TITLES.items():
        parts.append(_measurement(first, measurement, title))
    for more in results[1:]:
        parts.append(_other_interpreter(more))
    return "\n\n".join(part for part in parts if part)


def summary(merged: Merged) -> Table:
    """The comparison in a few numbers."""
    rows = [
        (name, *_summary_cells(merged, name))
        for name, kind in [(one["name"], one["kind"]) for one in merged.contestants]
        if kind in ("ours", "peer") and merged.get("calls", name, "2")
    ]
    columns = (
        *("2 metrics", "50 metrics", "at 1,000 rows/s", "its p99.9"),
        *("left after `kill -9`", "disk per row"),
    )
    return Table("", ("a call", *columns), rows)


def _summary_cells(merged: Merged, name: str) -> Iterator[str]:
    for measurement, part, field in (
        ("calls", "2", "p50"),
        ("calls", "50", "p50"),
        ("paced", "2 at 1000/s", "p50"),
        ("paced", "2 at 1000/s", "p99.9"),
    ):
        yield time_text(merged.number(measurement, name, part, field))
    killed = merged.get("killed", name)
    survived, logged = killed.get("survived"), killed.get("logged")
    whole = isinstance(survived, int | float) and isinstance(logged, int | float)
    yield f"{survived:,.0f} of {logged:,.0f}" if whole else "–"
    yield size_text(merged.number("whole", name, "10,000", "bytes_per_row"))


def by_interpreter(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Puts the records of one interpreter together."""
    together: dict[str, dict[str, Any]] = {}
    for one in results:
        known = together.setdefault(one["about"]["python"], {**one, "records": []})
        known["records"] = known["records"] + one["records"]
    return list(together.values())


def _about(results: list[dict[str, Any]]) -> str:
    lines = ["### Where and when", ""]
    for one in results:
        about = one["about"]
        lines.append(
            f"- {about['at']}, commit `{about['commit']}`: Python {about['python']}, "
            f"{about['platform']}, {about['cpu']}, {about['cores']} cores, "
            f"{about['memory_gib']} GiB; {about['rounds']} rounds, "
            f"load before {about['load_before']}"
            + ("; a reduced run" if about["quick"] else "")
            + ("; out of time in the last round" if _ran_out(about) else "")
        )
    versions = [
        f"{one['name']} {one['version']}" for one in results[0]["contestants"] if one["version"]
    ]
    lines += ["", f"Versions: {', '.join(versions)}."]
    failed = [one for one in results[0]["contestants"] if one["error"]]
    lines += [f"\n{one['name']} could not be measured: {one['error']}" for one in failed]
    return "\n".join(lines)


def _ran_out(about: dict[str, Any]) -> bool:
    return bool(about["took_s"] > about["limit_s"] and about["rounds"] > 1)


def _goals(results: list[dict[str, Any]]) -> str:
    every = [goals(Merged(one)) for one in results]
    names = [_short_name(one) for one in results]
    head = "| what | goal | " + " | ".join(f"{name} | " for name in names) + "|"
    lines = ["### Goals", "", head, "|---|---|" + "---:|---|" * len(results)]
    for same in zip(*every, strict=True):
        cells = " | ".join(f"{goal.measured} | {goal.verdict}" for goal in same)
        lines.append(f"| {same[0].what} | {same[0].goal} | {cells} |")
    return "\n".join(lines)


def _short_name(one: dict[str, Any]) -> str:
    return f"Python {one['about']['python']}"


def _measurement(merged: Merged, measurement: str, title: str) -> str:
    made = tables(merged, measurement)
    if not made:
        return ""
    parts = [f"### {title}", _NOTES[measurement]]
    if measurement in PICTURES:
        name, description = PICTURES[measurement]
        parts.append(f"![{description}]({name})")
    for table in made:
        if table.title:
            parts.append(f"**{table.title}**")
        parts.append(table.markdown())
    return "\n\n".join(parts)


def _other_interpreter(results: dict[str, Any]) -> str:
    merged = Merged(results)
    parts = [f"### The same with {_short_name(results)}"]
    for measurement, title in TITLES.items():
        for table in tables(merged, measurement):
            name = f"{title}: {table.title}" if table.title else title
            parts += [f"**{name}**", table.markdown()]
    return "\n\n".join(parts)


PICTURES = {
    "calls": ("performance-calls.svg", "Times of a call at full speed, by number of metrics."),
    "paced": ("performance-paced.svg", "p50 and p99.9 of a call at 10, 100 and 1,000 rows/s."),
    "whole": ("performance-whole.svg", "Time and CPU of whole runs, by number of rows."),
    "trainer": ("performance-trainer.svg", "Slow-down of a trainer in pure Python."),
}
