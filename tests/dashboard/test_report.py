"""A report is the page in one file, which needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser


def test_a_report_shows_its_runs_from_the_disk(
    visit: Any, shown_runs: Path, tmp_path: Path, program: Any
) -> None:
    """Curves, comparisons, media and the post-mortem are in the file; no request leaves it."""
    report = tmp_path / "report.html"
    runs = ["sweep", "media/all", "odd/hostile", "odd/killed"]
    program(
        ["-m", "expman.cli", "report", *runs, "-d", str(shown_runs), "-o", str(report)]
    ).succeed()

    page = visit(report.as_uri())
    page.wait("document.querySelectorAll('.card canvas').length > 1")
    page.go("#/compare?sel=sweep/run-0~sweep/run-1").wait_text("Side by side")
    page.go("#/run/media/all?tab=media").wait_text("It is step 4.")
    page.go("#/run/media/all?tab=console").wait_text("step 4 is done")
    page.go("#/run/odd/killed").wait_text("The run crashed")
    page.go("#/run/odd/hostile").wait_text("<img src=x onerror=alert(1)>")
    assert "Edit" not in page.text()
    assert [] == [one for one in page.asked if one.startswith("http")]
