"""The report of the benchmark: which goals are met, and what the pages show of it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmark.goals import goals
from benchmark.main import main, parse_arguments
from benchmark.report import report_text, summary, write_report
from benchmark.tables import Merged

ROOT = Path(__file__).resolve().parents[2]
PAGE, README = ROOT / "docs" / "performance.md", ROOT / "README.md"

ABOUT = {
    "at": "2026-01-31T12:00:00+00:00",
    "commit": "0123456789ab",
    "python": "3.11.7 (built from source, without PGO)",
    "platform": "Linux",
    "cpu": "a processor",
    "cores": 2,
    "memory_gib": 16,
    "rounds": 1,
    "load_before": 0.0,
    "quick": False,
    "limit_s": 1800.0,
    "took_s": 60,
}


def results(ratio: float, python: str = "3.11.7") -> dict[str, Any]:
    def imported(name: str, took_ms: float) -> dict[str, Any]:
        return {
            "measurement": "imports",
            "contestant": name,
            "label": "",
            "round": 0,
            "result": {"import_ms": took_ms, "fastest_ms": took_ms, "ratio": took_ms / 10},
        }

    return {
        "about": {**ABOUT, "python": python},
        "contestants": [
            {"name": "expman", "kind": "ours", "version": "0.1.0", "error": None},
            {"name": "msgspec", "kind": "floor", "version": "0.19", "error": None},
            {"name": "gone", "kind": "peer", "version": None, "error": "cannot be installed: 404"},
        ],
        "records": [imported("expman", 10 * ratio), imported("msgspec", 10.0)],
    }


@pytest.mark.parametrize(("ratio", "verdict"), [(1.5, "met"), (1.51, "not met")])
def test_a_goal_is_met_at_its_limit(ratio: float, verdict: str) -> None:
    """The ratio decides, and the limit itself counts as met."""
    (goal,) = (goal for goal in goals(Merged(results(ratio))) if "import expman" in goal.what)

    assert verdict == goal.verdict


def test_what_was_not_measured_is_not_met() -> None:
    """A goal without a measurement has a dash for a verdict."""
    verdicts = {goal.measured: goal.verdict for goal in goals(Merged(results(1.0)))}

    assert "–" == verdicts["not measured"]


def test_a_report_made_again_is_the_same(tmp_path: Path) -> None:
    """The same results make the same files, and what they replace is gone."""
    report, short = write_report([results(1.0)], tmp_path / "new")
    once = report.read_text(), short.read_text()
    report.write_text("old")

    assert [report, short] == write_report([results(1.0)], tmp_path / "new")
    assert once == (report.read_text(), short.read_text())
    assert once[0].startswith("# Report\n\n### Where and when")
    assert "old" not in once[0]


def test_two_interpreters_stand_side_by_side() -> None:
    """The goals have a column for each interpreter; a peer that cannot be had is named."""
    text = report_text([results(1.0), results(2.0, "3.12.1")])

    (line,) = (line for line in text.splitlines() if "`import expman`" in line)
    assert line.endswith("| 1 × | met | 2 × | not met |")
    assert "gone could not be measured: cannot be installed: 404" in text


def test_results_of_one_interpreter_count_together() -> None:
    """A long run measured apart from the rest has no column of its own."""
    text = report_text([results(1.0), results(1.4)])

    (line,) = (line for line in text.splitlines() if "`import expman`" in line)
    assert line.endswith("| 1.2 × | met |")  # the median of both


def call(name: str, metrics: str, p50: float) -> dict[str, Any]:
    part = {"p50": p50, "p99": p50, "p99.9": p50, "max": p50}
    return {
        "measurement": "calls",
        "contestant": name,
        "label": "",
        "round": 0,
        "result": {"parts": {metrics: part}},
    }


def test_the_summary_is_the_comparison_in_short(tmp_path: Path) -> None:
    """A line for each logger that was measured, none for the others."""
    found = results(1.0)
    found["records"] += [call("expman", "2", 400.0), call("msgspec", "2", 100.0)]

    _, short = write_report([found], tmp_path)

    (line,) = (line for line in short.read_text().splitlines() if "400 ns" in line)
    assert line.startswith("| expman | 400 ns | – |")
    assert "100 ns" not in short.read_text()


def test_the_command_makes_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--report DIR --from FILE` writes tables and plots into DIR, and measures nothing."""
    pytest.importorskip("matplotlib")
    raw = tmp_path / "raw.json"
    raw.write_text(json.dumps({**results(1.0), "records": [call("expman", "2", 400.0)]}))
    arguments = ["bench", "--report", str(tmp_path / "out"), "--from", str(raw)]
    monkeypatch.setattr(sys, "argv", arguments)

    main()

    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"report.md", "summary.md", "performance-calls.svg"} == made


def test_results_without_a_report_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """`--from` alone would do nothing."""
    with pytest.raises(SystemExit):
        parse_arguments(["--from", "raw.json"])

    assert "--from needs --report DIR" in capsys.readouterr().err


def _comparison(page: Path) -> list[str]:
    """The lines of the page's table that begins as a summary does."""
    head = summary(Merged(results(1.0))).markdown().splitlines()[0]
    after = page.read_text().partition(f"{head}\n")[2]
    found = re.match(r"(?:\|.*\n)+", after)
    assert found is not None, f"{page} has no table {head}"
    return found[0].splitlines()


def test_the_pages_show_one_comparison() -> None:
    """README.md and docs/performance.md have the table of a summary, with the same figures."""
    shown = _comparison(PAGE)

    assert 12 < len(shown)
    assert shown == _comparison(README)
