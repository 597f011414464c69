"""docs/performance.md: what is made, what stays, and which goals are met."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from benchmark.goals import goals
from benchmark.page import BEGIN, END, refresh, replace
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


def make_page(directory: Path) -> Path:
    page = directory / "performance.md"
    page.write_text(f"{BEGIN.format('results')}\n{END.format('results')}\n")
    return page


def make_readme(directory: Path) -> Path:
    readme = directory / "README.md"
    readme.write_text(f"{BEGIN.format('summary')}\n{END.format('summary')}\n")
    return readme


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

    refresh(page, make_readme(tmp_path), [results(1.0)])
    once = page.read_text()
    refresh(page, make_readme(tmp_path), [results(1.0)])

    assert once == page.read_text()
    assert once.startswith(f"before\n\n{begin}\n\n### Where and when")
    assert once.endswith(f"{end}\n\nafter\n")
    assert "old" not in once


def test_two_interpreters_stand_side_by_side(tmp_path: Path) -> None:
    """The goals have a column for each interpreter; a peer that cannot be had is named."""
    page = make_page(tmp_path)

    refresh(page, make_readme(tmp_path), [results(1.0), results(2.0, "3.12.1")])

    (line,) = (line for line in page.read_text().splitlines() if "`import expman`" in line)
    assert line.endswith("| 1 × | met | 2 × | not met |")
    assert "gone could not be measured: cannot be installed: 404" in page.read_text()


def test_results_of_one_interpreter_count_together(tmp_path: Path) -> None:
    """A long run measured apart from the rest has no column of its own."""
    page = make_page(tmp_path)

    refresh(page, make_readme(tmp_path), [results(1.0), results(1.4)])

    (line,) = (line for line in page.read_text().splitlines() if "`import expman`" in line)
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


def test_the_readme_has_the_comparison_in_short(tmp_path: Path) -> None:
    """A line for each logger that was measured, none for the others."""
    found = results(1.0)
    found["records"] += [call("expman", "2", 400.0), call("msgspec", "2", 100.0)]
    readme = make_readme(tmp_path)

    refresh(make_page(tmp_path), readme, [found])

    (line,) = (line for line in readme.read_text().splitlines() if "400 ns" in line)
    assert line.startswith("| expman | 400 ns | – |")
    assert "100 ns" not in readme.read_text()


def test_a_page_without_marks_is_refused() -> None:
    """A page that has lost its marks is not written over."""
    with pytest.raises(ValueError, match="the page has no"):
        replace("text", "results", "content")


def test_the_real_pages_have_their_marks() -> None:
    """docs/performance.md and README.md can be refreshed."""
    assert "\n\nnew\n\n" in replace(PAGE.read_text(), "results", "new")
    assert "\n\nnew\n\n" in replace(README.read_text(), "summary", "new")
