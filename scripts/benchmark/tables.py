"""Raw results as tables: medians over the rounds, beside each other and as ratios."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Results = dict[str, Any]
Values = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """Rows of text under a title; the first column names the contestant."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    note: str = ""

    def markdown(self) -> str:
        """Writes it as GitHub's Markdown."""
        lines = ["| " + " | ".join(self.columns) + " |"]
        lines.append("|---|" + "---:|" * (len(self.columns) - 1))
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join(lines)

    def text(self) -> str:
        """Writes it for a terminal."""
        every = [self.columns, *self.rows]
        widths = [max(len(row[at]) for row in every) for at in range(len(self.columns))]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if at == 0 else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in every
        )


def merge(results: Results) -> dict[tuple[str, str, str], Values]:
    """Merges the rounds: (measurement, contestant, part) → the median of each number.

    A `max` is the largest of all rounds, `lost` the largest too; text is the last round's.
    Jobs that failed in every round give `{"error": …}`.
    """
    found: dict[tuple[str, str, str], list[Values]] = {}
    for record in results["records"]:
        for part, values in _parts(record):
            found.setdefault((record["measurement"], record["contestant"], part), []).append(values)
    return {key: _merge_rounds(rounds) for key, rounds in found.items()}


def _parts(record: Values) -> Iterator[tuple[str, Values]]:
    if "error" in record:
        yield record["label"], {"error": record["error"]}
        return
    result = record["result"]
    if "parts" in result:
        yield from result["parts"].items()
        return
    usage = record.get("usage", {})
    yield record["label"], result | {"others_peak_bytes": usage.get("others_peak_bytes", 0)}


_LARGEST = ("max", "lost", "unread", "delay_max_s")


def _merge_rounds(rounds: list[Values]) -> Values:
    good = [values for values in rounds if "error" not in values]
    if not good:
        return rounds[-1]
    merged: Values = {"rounds": len(good)}
    for name in good[-1]:
        values = [one[name] for one in good if name in one]
        numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
        if not numbers or len(numbers) < len(values):
            merged[name] = values[-1]
        elif name in _LARGEST:
            merged[name] = max(numbers)
        else:
            merged[name] = statistics.median(numbers)
    return merged


# --- numbers as text ----------------------------------------------------------------------


def time_text(ns: float | None) -> str:
    """Writes a time with a unit that suits it."""
    if ns is None:
        return "–"
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            return f"{_short(ns / size)} {unit}"
    return f"{ns:.0f} ns"


def size_text(count: float | None) -> str:
    """Writes a number of bytes."""
    if count is None:
        return "–"
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{_short(count / size)} {unit}"
    return f"{_short(count)} B"


def ratio_text(value: float | None, to: float | None) -> str:
    """Writes a ratio; – if there is nothing to compare with."""
    if value is None or not to:
        return "–"
    return f"{_short(value / to)} ×"


def _short(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


# --- tables -------------------------------------------------------------------------------


class Merged:
    """Merged results, looked up by measurement, contestant and part."""

    def __init__(self, results: Results) -> None:
        self.values = merge(results)
        self.contestants: list[Values] = results["contestants"]
        self.names: list[str] = [one["name"] for one in self.contestants]

    def get(self, measurement: str, name: str, part: str = "") -> Values:
        """Gives what was found, `{}` if nothing was."""
        return self.values.get((measurement, name, part), {})

    def number(self, measurement: str, name: str, part: str, field: str) -> float | None:
        """Gives a number, None if it was not measured."""
        value = self.get(measurement, name, part).get(field)
        return value if isinstance(value, int | float) else None

    def parts(self, measurement: str) -> list[str]:
        """Lists a measurement's parts in the order in which they were measured."""
        return list(dict.fromkeys(key[2] for key in self.values if key[0] == measurement))

    def table(
        self, measurement: str, part: str, title: str, cells: dict[str, Callable[[Values], str]]
    ) -> Table | None:
        """Makes a table with one row for each contestant that has this part."""
        rows = []
        for name in self.names:
            # A job that failed as a whole has no parts: its error stands in each of them.
            values = self.get(measurement, name, part) or self.get(measurement, name)
            if not values:
                continue
            if "error" in values:
                rest = ("",) * (len(cells) - 1)
                rows.append((name, f"failed: {_cell(values['error'])}", *rest))
            else:
                rows.append((name, *(cell(values) for cell in cells.values())))
        return Table(title, ("", *cells), rows) if rows else None


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")[:120]


def _ns(field: str) -> Callable[[Values], str]:
    return lambda values: time_text(values.get(field))


def _ms(field: str) -> Callable[[Values], str]:
    return lambda values: time_text(_times(values.get(field), 1e6))


def _s(field: str) -> Callable[[Values], str]:
    return lambda values: time_text(_times(values.get(field), 1e9))


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _bytes(field: str) -> Callable[[Values], str]:
    return lambda values: size_text(values.get(field))


def _ratio(field: str) -> Callable[[Values], str]:
    return lambda values: ratio_text(values.get(field), 1)


def _plain(field: str) -> Callable[[Values], str]:
    def text(values: Values) -> str:
        value = values.get(field)
        if isinstance(value, float):
            return _short(value)
        return "–" if value is None else f"{value:,}" if type(value) is int else _cell(str(value))

    return text


def _to(merged: Merged, measurement: str, part: str, field: str) -> Callable[[Values], str]:
    """A column: how many times what expman needs."""
    ours = merged.number(measurement, "expman", part, field)
    return lambda values: ratio_text(values.get(field), ours)


def call_cells(merged: Merged, measurement: str, part: str) -> dict[str, Callable[[Values], str]]:
    """Columns for times of calls."""
    return {
        "p50": _ns("p50"),
        "p99": _ns("p99"),
        "p99.9": _ns("p99.9"),
        "max": _ns("max"),
        "p50 to expman's": _to(merged, measurement, part, "p50"),
        "p99.9 to expman's": _to(merged, measurement, part, "p99.9"),
    }


def whole_cells(merged: Merged, part: str) -> dict[str, Callable[[Values], str]]:
    """Columns for whole runs."""
    return {
        "rows": lambda values: f"{values['rows']:,.0f}" + (" (bound)" if values["bounded"] else ""),
        "stored": _plain("stored"),
        "time": _s("total_s"),
        "per row": lambda values: time_text(values["total_s"] * 1e9 / values["rows"]),
        "CPU, trainer": _s("trainer_cpu_s"),
        "CPU, others": _s("others_cpu_s"),
        "CPU per row": lambda values: time_text(cpu_per_row_ns(values)),
        "peak, trainer": _bytes("trainer_peak_bytes"),
        "peak, others": _bytes("others_peak_bytes"),
        "disk per row": _bytes("bytes_per_row"),
    }


def cpu_per_row_ns(values: Values) -> float:
    """Gives the CPU that a row cost in all processes."""
    return float((values["trainer_cpu_s"] + values["others_cpu_s"]) * 1e9 / values["rows"])


def tables(merged: Merged, measurement: str) -> list[Table]:
    """Makes a measurement's tables."""
    made = []
    for part in merged.parts(measurement):
        cells, title = _cells(merged, measurement, part)
        # Failed jobs have no part of their own where others have several.
        if part or len(merged.parts(measurement)) == 1 or cells:
            made.append(merged.table(measurement, part, title, cells))
    several = measurement in ("floors", "kinds", "calls", "paced", "whole")
    return [
        table
        for table in made
        if table is not None and (table.title or not several or len(made) == 1)
    ]


def _cells(
    merged: Merged, measurement: str, part: str
) -> tuple[dict[str, Callable[[Values], str]], str]:
    match measurement:
        case "imports":
            to_msgspec = merged.number("imports", "msgspec", "", "fastest_ms")
            return {
                "median": _ms("import_ms"),
                "fastest": _ms("fastest_ms"),
                "to msgspec's": lambda values: (
                    ratio_text(values["ratio"], 1)
                    if "ratio" in values
                    else ratio_text(values.get("fastest_ms"), to_msgspec)
                ),
            }, ""
        case "start":
            popen = merged.number("start", "Popen alone", "", "first_row_ms") or 0
            return {
                "construction": _ms("open_ms"),
                "first call": _ms("first_call_ms"),
                "to first row": _ms("first_row_ms"),
                "more than Popen": lambda values: f"{values['first_row_ms'] - popen:.3g} ms",
                "close": _ms("close_ms"),
            }, ""
        case "floors":
            return {
                "p50": _ns("p50"),
                "floor's p50": _ns("floor_p50"),
                "empty call's p50": _ns("empty_p50"),
                "to floor": lambda values: f"{values['to_floor']:.2f} ×",
            }, f"{part} metrics" if part else ""
        case "kinds":
            names = ("float64", "float32", "int64", "sets", "tensor", "item")
            return {"floats": _ns("p50")} | {
                name: _ratio(f"{name}_ratio") for name in names
            }, f"{part} metrics" if part else ""
        case "calls":
            return call_cells(merged, measurement, part), f"{part} metrics" if part else ""
        case "paced":
            title = part.replace(" at ", " metrics, ").replace("/s", " rows/s")
            return call_cells(merged, measurement, part), title
        case "threads" | "workers":
            return {
                "p50": _ns("p50"),
                "p99": _ns("p99"),
                "p99.9": _ns("p99.9"),
                "rows/s, calls": _plain("rows_per_s"),
                "rows/s until stored": _plain("stored_rows_per_s"),
            }, ""
        case "trainer" | "busy":
            return {
                "slow-down": lambda values: f"{values['slow_down']:.4f}",
                "rows/s": _plain("rows_per_s"),
                "p50": _ns("p50"),
                "p99": _ns("p99"),
                "p99.9": _ns("p99.9"),
                "max": _ns("max"),
            }, ""
        case "observed":
            return {
                "slow-down": lambda values: f"{values['slow_down']:.4f}",
                "of its own CPU": lambda values: f"{values['cpu_slow_down']:.4f}",
                "CPU in the calls": lambda values: f"{values['calls_share']:.2%}",
                "a unit beside the run": lambda values: f"{values['work_slow_down']:.4f}",
                "CPU of its other threads": lambda values: f"{values['others_share']:.2%}",
                "disk per sample": _bytes("bytes_per_sample"),
                "CPU per sample": _ms("sample_cpu_ms"),
            }, ""
        case "pictures":
            return {
                "call": _ms("call_ms"),
                "memcpy": _ms("memcpy_ms"),
                "ratio": lambda values: f"{values['ratio']:.2f} ×",
                "until it is durable": _ms("durable_ms"),
            }, ""
        case "whole":
            return whole_cells(merged, part), f"{part} rows" if part else ""
        case "column":
            return {
                "rows": _plain("rows"),
                "disk per value": _bytes("bytes_per_value"),
                "one column": _ms("read_ms"),
                "all columns": _ms("read_all_ms"),
            }, ""
        case "killed":
            return {
                "logged": _plain("logged"),
                "survived": _plain("survived"),
                "lost": _plain("lost"),
                "status": _plain("status"),
            }, ""
        case _:
            return {
                "p50": _s("delay_p50_s"),
                "max": _s("delay_max_s"),
                "not readable in time": _plain("unread"),
            }, ""
