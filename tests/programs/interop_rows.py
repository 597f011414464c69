"""What the interop tests log and expect to read: every kind of value."""

from __future__ import annotations

from typing import Any

METRICS = ["loss", "count", "flag", "größe/✓", "text", "mixed"]

PARAMS = {
    "lr": 1e-05,
    "model": {"layers": [64, 10], "name": "größe", "bias": True, "seed": None},
    "version": "1.10",
    "on": "no",
}

ROWS: list[dict[str, float | int | bool | str]] = [
    {"loss": 0.1, "count": 2**63 - 1, "flag": True, "größe/✓": 1.5, "text": "a"},
    {"loss": float("nan"), "count": -(2**63), "flag": False, "größe/✓": -0.0, "text": ""},
    {"loss": float("inf"), "count": 2**53 + 1},
    {"loss": float("-inf"), "text": "größe ✓\n\0"},
    {"loss": 5e-324, "mixed": 1},
    {"loss": 1.7976931348623157e308, "mixed": 0.5},
]


def expected_column(metric: str) -> list[Any]:
    """The values of a metric as they are read: in `mixed`, the integer has become a float."""
    values = [row.get(metric) for row in ROWS]
    return [None if v is None else float(v) for v in values] if metric == "mixed" else values
