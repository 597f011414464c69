"""The page follows what happens to runs while it is open."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser


@pytest.fixture
def live(visit: Any, serve: Any, run_base: Path, program: Any) -> Any:
    """A page that is open before the first run begins, and the program that will make it."""
    run_base.mkdir()
    page = visit(serve(run_base))
    page.wait_text("No runs yet")
    return page, program("page_runs.py", run_base, "live")


def last_value(page: Any) -> str:
    label: str = page.tab.get_attribute(".card", "aria-label") or ""
    return label.rsplit(" ", 1)[-1]


def test_rows_appear_and_none_is_asked_for_twice(live: Any) -> None:
    """A run appears, its rows are appended, and each request begins where the one before ended."""
    page, trainer = live
    trainer.read_line()
    page.wait_text("now")
    page.tab.evaluate("location.hash = '#/curves?sel=live/now'")
    page.wait("!!document.querySelector('.card canvas')")

    for step in range(1, 4):
        trainer.send_line()
        trainer.expect_line(f"logged {step}")
        page.wait(f"document.querySelector('.card').ariaLabel.endsWith(' {step}')")

    assert "3" == last_value(page)
    asked = [one for one in page.asked if "api/curves" in one]
    assert len(asked) == len(set(asked))
    assert 1 == len([one for one in asked if "after=" not in one])
    page.tab.evaluate("location.hash = '#/run/live/now?tab=console'")
    page.wait_text("logged 3")
    trainer.send_line()
    page.wait_text("logged 4")
    trainer.close_stdin()
    trainer.succeed()
    page.wait_text("finished")


def test_ends_and_losses_are_shown(live: Any, run_base: Path) -> None:
    """A killed trainer, a deleted run and a base directory that goes away are said on the page."""
    page, trainer = live
    trainer.read_line()
    page.wait_text("now")
    page.tab.evaluate("location.hash = '#/run/live/now'")
    page.wait_text("running")

    trainer.send_signal(signal.SIGKILL)
    trainer.wait()
    page.wait_text("crashed")
    page.wait("!!document.querySelector('.post')")
    shutil.rmtree(run_base / "live" / "now")
    page.wait_text("This run has been deleted.")
    run_base.rename(run_base.with_name("away"))
    page.wait_text("directory gone")
    run_base.with_name("away").rename(run_base)
    page.wait("!document.body.innerText.includes('directory gone')")


def test_rows_that_gave_way_leave_an_open_page(live: Any, run_base: Path, program: Any) -> None:
    """A run goes on from an earlier step: the page drops what it has, and asks once more."""
    page, trainer = live
    trainer.read_line()
    for step in range(1, 5):
        trainer.send_line()
        trainer.expect_line(f"logged {step}")
    page.wait_text("now")
    page.tab.evaluate("location.hash = '#/curves?sel=live/now'")
    page.wait("document.querySelector('.card')?.ariaLabel.endsWith(' 4')")
    trainer.close_stdin()
    trainer.succeed()

    program("page_runs.py", run_base, "goes-on").succeed()

    page.wait("document.querySelector('.card').ariaLabel.endsWith(' 104')")
    points = """async () => {
        const { curvesIfThere } = await import("./static/curvestore.js");
        const [{ x, y }] = curvesIfThere("live/now", "loss", { x: "step", points: 2000 }).curves;
        return [...x].map((step, at) => [step, y[at]]);
    }"""
    assert [[0, 0], [1, 1], [2, 102], [3, 103], [4, 104]] == page.tab.evaluate(points)
