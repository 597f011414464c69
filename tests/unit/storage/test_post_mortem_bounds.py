"""A post-mortem stays small and quick, whatever the run was like."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expman.metadata import Attempt, RunMetadata
from expman.models import PROCESS_ENDED, LogLevel, RunStatus
from expman.storage import evidence, examine
from expman.storage.evidence import Evidence, Nonfinite
from expman.storage.postmortem import LastRow, PostMortem, describe, earlier_attempts
from expman.storage.runlog import LogEntry


def make(**changes: object) -> PostMortem:
    """A report without anything special."""
    fields = {name: [] for name in ("facts", "last_rows", "console", "log", "stacks")}
    texts = dict.fromkeys(("reason", "ended_at", "traceback", "fatal_traceback"))
    return PostMortem(
        **{"status": "FAILED", "nonfinite": {}, "machine": {}, **fields, **texts, **changes}  # type: ignore[arg-type]
    )


def test_thousands_of_metrics_and_producers_are_a_few_facts(
    tmp_path: Path, run_meta: RunMetadata
) -> None:
    """The first ones are named, the others are counted."""
    lost = "worker-1 (pid 1) was killed by SIGKILL; it had logged 1 row"
    seen = Evidence(
        entries=[LogEntry(None, LogLevel.ERROR, f"{PROCESS_ENDED}{lost}")] * 100,
        rows=[LastRow(f"worker-{number}", 1, None, None) for number in range(3000)],
        nonfinite=dict.fromkeys((f"m{number}" for number in range(5000)), 1),
        without_numbers={f"m{number}": Nonfinite(1) for number in range(6)},
        stacks=[f"stacks/{number}.txt" for number in range(5000)],
    )
    run_meta.processes_lost = 2000
    texts = [fact.text for fact in examine._facts(str(tmp_path), run_meta, seen)]
    assert len(texts) < 26
    assert "1,994 other processes ended before the run, and not well" in texts
    assert "so have 4,994 other metrics" in texts
    assert "2,994 other producers logged rows" in texts


def test_long_lines_are_shortened() -> None:
    """Text for people has no line of many thousands of characters."""
    text = describe("r", make(console=["x" * 16_000] * 20, traceback="y" * 100_000))
    assert max(map(len, text.split("\n"))) < 400


def test_the_end_of_a_large_console_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_meta: RunMetadata
) -> None:
    """Only as much of it as is shown."""
    monkeypatch.setattr(evidence, "_MOST_BYTES", 4096)
    lines = [f"[2026-01-31T12:00:00.000Z] [out] line {number}" for number in range(10_000)]
    (tmp_path / "console.log").write_text("\n".join((*lines, "")))
    found = [line.text for line in evidence._console(str(tmp_path), run_meta)]
    assert [f"line {number}" for number in range(9_980, 10_000)] == found
    assert len(evidence._text(str(tmp_path), "console.log")) < 4096


def test_the_last_row_of_a_large_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_meta: RunMetadata
) -> None:
    """Its end is looked at, not all of it."""
    monkeypatch.setattr(evidence, "_MOST_ROWS", 10)
    count = 1000
    table = pa.table(
        {
            "_producer": ["main"] * count,
            "_seq": range(count),
            "step": range(count),
            "timestamp": pa.array(range(count), pa.timestamp("us", "UTC")),
        }
    )
    pq.write_table(table, tmp_path / "vectors.parquet")
    (row,) = evidence._last_rows(str(tmp_path), run_meta)
    assert (1000, 999) == (row.rows, row.step)


@pytest.fixture
def run_meta() -> RunMetadata:
    """Metadata of a run that failed."""
    return RunMetadata(name="r", experiment="e", status=RunStatus.FAILED)


@pytest.mark.parametrize(
    ("values", "since", "rows"),
    [
        ([1.0, math.nan, 2.0, math.nan, math.inf], 3, 2),
        ([math.nan, 1.0, None, math.nan, None], 3, 1),
        ([math.nan, math.nan], None, 2),  # rows before these may have been left out
        ([1.0, 2.0], None, 0),
    ],
)
def test_how_long_a_metric_has_been_nan(
    values: list[float | None], since: int | None, rows: int
) -> None:
    """Since its last number, and not since its first NaN."""
    table = pa.table({"step": range(len(values)), "loss": pa.array(values, pa.float64())})
    found = evidence.without_number(table, "loss", 1)
    assert (since, rows) == (found.since_step, found.rows)


def test_nan_from_the_first_row_on() -> None:
    """Where the first NaN of all is the first row that was read, nothing was left out."""
    table = pa.table({"step": [4, 5], "loss": [math.nan, math.nan]})
    assert 4 == evidence.without_number(table, "loss", 4).since_step


def test_many_attempts_are_a_few_lines(tmp_path: Path, run_meta: RunMetadata) -> None:
    """The latest ones that did not end well are listed, and the others are counted."""
    run_meta.earlier_attempts = [
        Attempt(status=RunStatus.CRASHED if number % 2 else RunStatus.FINISHED, reason="x" * 9000)
        for number in range(100)
    ]
    lines = earlier_attempts(str(tmp_path), run_meta)
    assert "44 more before" == lines[0]
    assert ["attempt 90:", "attempt 92:"] == [line[:11] for line in lines[1:3]]
    assert 7 == len(lines)
    assert max(map(len, lines)) < 400
