"""The harness's arithmetic: percentiles, medians over rounds, numbers as text."""

from __future__ import annotations

from typing import Any

import pytest
from benchmark.tables import Merged, merge, ratio_text, size_text, tables, time_text
from benchmark.timing import describe, make_rows


def record(contestant: str, number: int, **outcome: Any) -> dict[str, Any]:
    where = {"measurement": "calls", "contestant": contestant, "label": ""}
    return where | {"round": number} | outcome


def calls(p50: float, largest: float) -> dict[str, Any]:
    times = {"p50": p50, "p99": p50, "p99.9": p50, "max": largest, "count": 9}
    return {"parts": {"2": times}}


RESULTS = {
    "contestants": [
        {"name": "expman", "kind": "ours", "version": "1", "error": None},
        {"name": "slow", "kind": "peer", "version": "2", "error": None},
        {"name": "broken", "kind": "peer", "version": "3", "error": None},
    ],
    "records": [
        record("expman", 0, result=calls(100.0, 500.0)),
        record("slow", 0, result=calls(2_000.0, 9_000.0)),
        record("broken", 0, error="Boom: no | luck"),
        record("expman", 1, result=calls(300.0, 900.0)),
        record("slow", 1, error="took too long and was ended"),
        record("expman", 2, result=calls(200.0, 100.0)),
    ],
}


def test_percentiles_are_nearest_ranks_less_the_overhead() -> None:
    """Of 1 … 1000 the percentiles are the values themselves, less what the clock took."""
    found = describe(range(1000, 0, -1), overhead_ns=1)

    assert (500, 900, 990, 999) == tuple(found[name] for name in ("p50", "p90", "p99", "p99.9"))
    assert (999, 1000) == (found["max"], found["count"])


def test_an_overhead_never_makes_a_time_negative() -> None:
    """A call that took less than the clock's overhead counts as 0."""
    assert 0 == describe([5], overhead_ns=10)["max"]


def test_nothing_measured_is_said() -> None:
    """No samples give a count of 0 and no percentiles."""
    assert {"count": 0} == describe([])


def test_rows_differ_from_each_other() -> None:
    """Rows have the keys that were asked for, and other values each."""
    rows = make_rows(3)

    assert {"metric_0", "metric_1", "metric_2"} == set(rows[0])
    assert len(rows) == len({tuple(row.values()) for row in rows})


def test_rounds_are_merged_by_their_median() -> None:
    """A number is the median of the rounds, a maximum the largest of them."""
    merged = merge(RESULTS)

    assert 200.0 == merged["calls", "expman", "2"]["p50"]
    assert 900.0 == merged["calls", "expman", "2"]["max"]
    assert 3 == merged["calls", "expman", "2"]["rounds"]


def test_a_round_that_failed_does_not_spoil_the_others() -> None:
    """A contestant that failed once is judged by its other rounds."""
    assert 2_000.0 == merge(RESULTS)["calls", "slow", "2"]["p50"]


def test_who_failed_stands_in_the_table_with_the_error() -> None:
    """A contestant that failed every time is not dropped; its error cannot break the table."""
    (table,) = tables(Merged(RESULTS), "calls")

    assert "2 metrics" == table.title
    assert ["expman", "slow", "broken"] == [row[0] for row in table.rows]
    assert "failed: Boom: no / luck" == table.rows[2][1]
    assert {len(table.columns)} == {len(row) for row in table.rows}


def test_ratios_are_to_ours() -> None:
    """The table says how many times what expman needs the others need."""
    (table,) = tables(Merged(RESULTS), "calls")

    column = table.columns.index("p50 to expman's")
    assert ["1 ×", "10 ×"] == [row[column] for row in table.rows[:2]]


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(None, "–"), (0, "0 ns"), (999, "999 ns"), (1_500, "1.5 µs"), (2.5e6, "2.5 ms"), (4e9, "4 s")],
)
def test_times_have_a_fitting_unit(nanoseconds: float | None, text: str) -> None:
    """Times are written with three digits and a unit."""
    assert text == time_text(nanoseconds)


def test_sizes_and_ratios_as_text() -> None:
    """Bytes have a unit, and a ratio to nothing is a dash."""
    assert ("12.5 B", "94.9 MB") == (size_text(12.5), size_text(94.9e6))
    assert ("2 ×", "–", "–") == (ratio_text(4, 2), ratio_text(4, None), ratio_text(None, 2))


def test_a_table_is_markdown() -> None:
    """A table is written with a header, a rule and its rows."""
    (table,) = tables(Merged(RESULTS), "calls")

    lines = table.markdown().splitlines()

    assert lines[0].startswith("|  | p50 | p99 |")
    assert lines[1].startswith("|---|---:|")
    assert 2 + 3 == len(lines)
