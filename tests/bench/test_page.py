"""docs/performance.md: what is made, what stays, and which goals are met."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from benchmark.goals import goals
from benchmark.page import BEGIN, END, refresh, replace
from benchmark.tables import Merged

PAGE = Path(__file__).resolve().parents[2] / "docs" / "performance.md"

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


def test_what_is_written_by_hand_stays(tmp_path: Path) -> None:
    """Only what stands between the marks is replaced, as often as one likes."""
    page = tmp_path / "performance.md"
    begin, end = BEGIN.format("results"), END.format("results")
    page.write_text(f"before\n\n{begin}\nold\n{end}\n\nafter\n")

    refresh(page, [results(1.0)])
    once = page.read_text()
    refresh(page, [results(1.0)])

    assert once == page.read_text()
    assert once.startswith(f"before\n\n{begin}\n\n### Where and when")
    assert once.endswith(f"{end}\n\nafter\n")
    assert "old" not in once


def test_two_interpreters_stand_side_by_side(tmp_path: Path) -> None:
    """The goals have a column for each interpreter; a peer that cannot be had is named."""
    page = tmp_path / "performance.md"
    page.write_text(f"{BEGIN.format('results')}\n{END.format('results')}\n")

    refresh(page, [results(1.0), results(2.0, "3.12.1")])

    (line,) = (line for line in page.read_text().splitlines() if "`import expman`" in line)
    assert line.endswith("| 1 × | met | 2 × | not met |")
    assert "gone could not be measured: cannot be installed: 404" in page.read_text()


def test_results_of_one_interpreter_count_together(tmp_path: Path) -> None:
    """A long run measured apart from the rest has no column of its own."""
    page = tmp_path / "performance.md"
    page.write_text(f"{BEGIN.format('results')}\n{END.format('results')}\n")

    refresh(page, [results(1.0), results(1.4)])

    (line,) = (line for line in page.read_text().splitlines() if "`import expman`" in line)
    assert line.endswith("| 1.2 × | met |")  # the median of both


def test_a_page_without_marks_is_refused() -> None:
    """A page that has lost its marks is not written over."""
    with pytest.raises(ValueError, match="the page has no"):
        replace("text", "results", "content")


def test_the_real_page_has_its_marks() -> None:
    """docs/performance.md can be refreshed."""
    assert "\n\nnew\n\n" in replace(PAGE.read_text(), "results", "new")
