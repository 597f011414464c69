"""Results for a terminal."""

from __future__ import annotations

from benchmark.goals import goals
from benchmark.plan import TITLES
from benchmark.tables import Merged, Results, tables


def as_text(results: Results) -> str:
    """Writes all tables, and the goals."""
    merged = Merged(results)
    lines = [f"{one['name']}: {one['error']}" for one in merged.contestants if one["error"]]
    for measurement, title in TITLES.items():
        for table in tables(merged, measurement):
            lines += ["", f"{title}: {table.title}" if table.title else title, table.text()]
    lines += ["", "Goals"]
    for goal in goals(merged):
        lines.append(f"{goal.verdict:<8} {goal.what}: {goal.measured} (goal {goal.goal})")
    return "\n".join(lines)
