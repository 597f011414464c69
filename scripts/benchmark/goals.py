"""The numbers to reach, and whether they are reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmark.tables import Merged, cpu_per_row_ns

RIVAL = "expman-rs"


@dataclass(frozen=True)
class Goal:
    """One number to reach; `value` is None where it was not measured."""

    what: str
    goal: str
    value: float | None
    limit: float
    text: Callable[[float], str]

    @property
    def measured(self) -> str:
        """What was measured, as text."""
        return "not measured" if self.value is None else self.text(self.value)

    @property
    def verdict(self) -> str:
        """`met`, `not met`, or a dash."""
        if self.value is None:
            return "–"
        return "met" if self.value <= self.limit else "not met"


def _times(value: float) -> str:
    return f"{value:.3g} ×"


def goals(merged: Merged) -> list[Goal]:
    """Compares all goals with what was measured."""
    groups = (_call_goals, _paced_goals, _process_goals, _run_goals)
    return [goal for group in groups for goal in group(merged)]


def _ratio(above: float | None, below: float | None) -> float | None:
    return None if above is None or not below else above / below


def _peers(merged: Merged, *, but: str = "") -> list[str]:
    found = (one["name"] for one in merged.contestants if one["kind"] == "peer")
    return [name for name in found if name != but]


def _best_peer(
    merged: Merged, measurement: str, part: str, field: str, *, but: str = ""
) -> float | None:
    found = [merged.number(measurement, name, part, field) for name in _peers(merged, but=but)]
    numbers = [number for number in found if number is not None]
    return min(numbers, default=None)


def _call_goals(merged: Merged) -> Iterator[Goal]:
    for metrics, rival, floor in (("2", 0.6, 1.6), ("50", 0.25, 1.3)):
        ours = merged.number("calls", "expman", metrics, "p50")
        theirs = merged.number("calls", RIVAL, metrics, "p50")
        what = f"`log_vector`, {metrics} metrics, p50, to"
        yield Goal(f"{what} {RIVAL}", f"≤ {rival}", _ratio(ours, theirs), rival, _times)
        to_floor = merged.number("floors", "expman", metrics, "to_floor")
        yield Goal(f"{what} the floor", f"≤ {floor}", to_floor, floor, _times)


def _paced_goals(merged: Merged) -> Iterator[Goal]:
    part = "2 at 1000/s"
    for field in ("p50", "p99.9"):
        ours = merged.number("paced", "expman", part, field)
        theirs = merged.number("paced", RIVAL, part, field)
        what = f"`log_vector` paced at 1,000/s, {field}, to"
        yield Goal(f"{what} {RIVAL}", "≤ 0.25", _ratio(ours, theirs), 0.25, _times)
        best = _best_peer(merged, "paced", part, field, but=RIVAL)
        yield Goal(f"{what} the best other peer", "≤ 0.05", _ratio(ours, best), 0.05, _times)
    ours = merged.number("trainer", "expman", "", "p99.9")
    best = _best_peer(merged, "trainer", "", "p99.9")
    what = "p99.9 of a call in a GIL-heavy trainer, to the best peer"
    yield Goal(what, "≤ 1", _ratio(ours, best), 1.0, _times)


def _process_goals(merged: Merged) -> Iterator[Goal]:
    slow = merged.number("trainer", "expman", "", "slow_down")
    what = "a GIL-heavy trainer that logs 1,000 rows/s to one that does not"
    yield Goal(what, "≤ 1.01", slow, 1.01, lambda value: f"{value:.4f} ×")
    slow = merged.number("observed", "expman", "", "slow_down")
    what = "a GIL-heavy trainer with everything recorded unasked to one without a run"
    yield Goal(what, "≤ 1.01", slow, 1.01, lambda value: f"{value:.4f} ×")
    calls = merged.number("observed", "expman", "", "calls_share")
    others = merged.number("observed", "expman", "", "others_share")
    paid = None if calls is None or others is None else calls + others
    what = "the same, processor time of the trainer's threads that its work did not need"
    yield Goal(what, "≤ 1 %", paid, 0.01, lambda value: f"{value:.2%}")
    ratio = merged.number("pictures", "expman", "", "ratio")
    what = "a picture of 1024×1024×3 bytes, the call, to one memcpy of it"
    yield Goal(what, "≤ 1.2", ratio, 1.2, _times)
    ratio = merged.number("imports", "expman", "", "ratio")
    yield Goal("`import expman` to `import msgspec`", "≤ 1.5", ratio, 1.5, _times)
    first = merged.number("start", "expman", "", "first_row_ms")
    popen = merged.number("start", "Popen alone", "", "first_row_ms")
    more = None if first is None or popen is None else first - popen
    what = "construction to first row, more than the `Popen`"
    yield Goal(what, "≤ 10 ms", more, 10.0, lambda value: f"{value:.3g} ms")


def _run_goals(merged: Merged) -> Iterator[Goal]:
    million = "1,000,000"
    ours, theirs = merged.get("whole", "expman", million), merged.get("whole", RIVAL, million)
    usable = "rows" in ours and "rows" in theirs
    time = ours["total_s"] / theirs["total_s"] if usable else None
    cpu = cpu_per_row_ns(ours) / cpu_per_row_ns(theirs) if usable else None
    yield Goal(f"1 M rows until `close()` returned, time, to {RIVAL}", "≤ 0.4", time, 0.4, _times)
    yield Goal(f"1 M rows until `close()` returned, CPU, to {RIVAL}", "≤ 0.4", cpu, 0.4, _times)
    yield _flat_cpu(merged)
    few, many = (
        merged.number("whole", "expman", part, "others_peak_bytes")
        for part in ("10,000", "10,000,000")
    )
    what = "writer's memory at 10 M rows to that at 10 k"
    yield Goal(what, "≤ 1.5", _ratio(many, few), 1.5, _times)
    part = "10,000"
    ours_bytes = merged.number("whole", "expman", part, "bytes_per_row")
    best = _best_peer(merged, "whole", part, "bytes_per_row")
    what = "bytes on disk per row (10 k rows), to the best peer"
    yield Goal(what, "≤ 1", _ratio(ours_bytes, best), 1.0, _times)
    lost = merged.number("killed", "expman", "", "lost")
    what = "rows lost by kill -9 of the trainer"
    yield Goal(what, "0", lost, 0.0, lambda value: f"{value:.0f}")


def _added_cpu_s(before: dict[str, Any], after: dict[str, Any]) -> float:
    added: float = after["others_cpu_s"] - before["others_cpu_s"]
    return added / (after["rows"] - before["rows"])


def _flat_cpu(merged: Merged) -> Goal:
    """CPU of all others per row that is added: from 10 k rows on, the writer's start left out."""
    parts = ["10,000", "100,000", "1,000,000", "10,000,000"]
    runs = [merged.get("whole", "expman", part) for part in parts]
    runs = [run for run in runs if "rows" in run]
    value = None
    if len(runs) > 2:  # one small size after the other would differ by little more than the noise
        few, many = _added_cpu_s(runs[0], runs[-2]), _added_cpu_s(runs[-2], runs[-1])
        value = many / few if few > 0 else None
    what = "writer's CPU per added row: last step of sizes to those before (10 k … 1 M or 10 M)"
    return Goal(what, "≤ 1.2", value, 1.2, _times)
