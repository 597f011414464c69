"""Every view of the page in a real browser, on runs that ended well, badly and oddly."""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from unit.reading.filter_cases import CASES, make_runs

pytestmark = pytest.mark.browser

SWEEP = "sel=sweep/run-0~sweep/run-1~sweep/run-2"
MARKUP = "<img src=x onerror=alert(1)>"
VIEWS = [
    "#/runs",
    f"#/runs?group=param:optimizer&{SWEEP}",
    f"#/curves?{SWEEP}",
    f"#/curves?full=train/loss&{SWEEP}",
    f"#/curves?band=param:optimizer&{SWEEP}",
    f"#/compare?{SWEEP}",
    "#/run/odd/killed",
    "#/run/odd/hostile",
    "#/run/odd/hostile?tab=console",
    "#/run/odd/hostile?tab=media",
    "#/run/odd/hostile?tab=curves",
    "#/run/media/all",
    "#/run/media/all?tab=console",
    "#/run/media/all?tab=messages",
    "#/run/media/all?tab=system",
    "#/run/media/all?tab=media",
    "#/run/media/all?tab=histograms",
    "#/run/media/all?tab=tables",
    "#/run/media/all?tab=files",
    "#/run/media/all?tab=provenance",
    "#/run/media/all?tab=curves",
]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_view_breaks_a_rule_of_accessibility(visit: Any, served: str, theme: str) -> None:
    """axe-core finds nothing serious in any view, and nothing is written to the console."""
    axe = files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    page = visit(served, color_scheme=theme)
    # Both themes have the same elements: for the dark one the colors of some views are enough.
    views = VIEWS if theme == "light" else VIEWS[1:8]

    found = []
    for view in views:
        page.go(view)
        page.wait("!document.querySelector('.waiting') && !document.querySelector('.card.busy')")
        page.tab.evaluate(f"{axe};0")
        rules = page.tab.evaluate(
            "axe.run(document, {resultTypes: ['violations']}).then(({violations}) => violations"
            ".filter(({impact}) => ['serious', 'critical'].includes(impact))"
            ".map(({id, nodes}) => `${id} ${nodes[0].html}`))"
        )
        found += [f"{view}: {rule}" for rule in rules]

    assert [] == found


@pytest.mark.parametrize("width", [400, 1920])
def test_no_view_is_wider_than_the_window(page: Any, width: int) -> None:
    """At 400 pixels, and at 1920, the page itself never scrolls sideways."""
    page.tab.set_viewport_size({"width": width, "height": 800})

    wide = []
    for view in VIEWS:
        page.go(view)
        if page.tab.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wide.append(view)

    assert [] == wide


def test_text_of_runs_is_never_markup(page: Any) -> None:
    """What looks like HTML is shown as it is; keys like __proto__ are keys as any other."""
    page.go("#/run/odd/hostile").wait_text("Parameters")

    assert MARKUP in page.text()
    names = page.tab.locator("dt").all_inner_texts()
    assert {"__proto__", "constructor", MARKUP, "long"} <= set(names)
    page.go("#/run/odd/hostile?tab=curves")
    page.wait("document.querySelectorAll('.card').length === 4")
    assert 0 == page.tab.locator("img[src=x]").count()


def test_a_run_that_was_killed_says_so_first(page: Any) -> None:
    """The post-mortem stands at the top, with the last rows."""
    page.go("#/run/odd/killed").wait_text("The run crashed")

    assert "crashed" in page.tab.inner_text(".post h2")
    assert "step 19" in page.tab.inner_text(".post")


def test_filters_are_those_of_the_command(visit: Any, serve: Any, tmp_path: Path) -> None:
    """The page's filters choose what the same filters choose in Python."""
    make_runs(tmp_path)
    page = visit(serve(tmp_path))
    page.wait("document.querySelectorAll('.row').length === 3")
    choose = """async text => {
        const [{ runs }, { parseFilter }] = await Promise.all(
            [import("./static/live.js"), import("./static/query.js")]);
        const { test, error } = parseFilter(text);
        return error ?? [...runs.values()].filter((run) => test(run)).map((run) => run.run);
    }"""

    # The list of runs has no steps. A name that no run has is a mistake only where it is typed.
    cases = {
        text: names if isinstance(names, str) else "a"
        for text, names in CASES
        if "_step" not in text
    }
    found = {text: "".join(sorted(page.tab.evaluate(choose, text))) for text in cases}

    assert cases == found


def test_the_filter_box_takes_words_and_tags_too(page: Any) -> None:
    """Words and tags choose runs; an unfinished filter says what is missing."""
    page.go("#/runs")
    page.wait_text("run-2")

    def kept(text: str) -> set[str]:
        page.tab.fill("input.filter", text)
        page.wait(f"new URLSearchParams(location.hash.split('?')[1]).get('q') === {text!r}")
        return set(page.tab.locator(".row a.name").all_inner_texts())

    assert {"run-1", "run-2"} == kept("lr>=0.01")
    assert {"run-0"} == kept("team:vision and not optimizer=adam")
    assert {"run-0", "run-1", "run-2"} == kept("team:vis*")
    assert {"hostile"} == kept("constructor")
    kept("lr <")
    assert "a value is missing" in page.tab.inner_text(".filtererror")
    kept("lrr < 1")
    assert "no run has a value of lrr" in page.tab.inner_text(".filtererror")


def test_a_link_shows_the_same(page: Any) -> None:
    """Runs, smoothing, axes, zoom and the metric on the whole screen are in the address."""
    place = f"#/curves?{SWEEP}&smooth=0.5&logy=train/loss&zoom=20~80&full=train/loss"
    page.reload(place)
    page.wait("document.querySelectorAll('dialog .legendrow').length === 3")

    assert 3 == page.tab.locator(".pickrow.on").count()
    assert "0.5" == page.tab.evaluate("document.querySelector('[aria-label=Smoothing]').value")
    assert "20 – 80" in page.text()


def test_a_zoom_asks_for_every_row(page: Any) -> None:
    """The whole is decimated and keeps the spike; a zoom is asked for with its range."""
    page.go("#/curves?sel=long/spike")
    page.wait("!!document.querySelector('.card canvas') && !document.querySelector('.card.busy')")
    before = len(page.asked)

    plot = page.tab.locator(".u-over").bounding_box()
    middle = plot["y"] + plot["height"] / 2
    page.tab.mouse.move(plot["x"] + plot["width"] * 0.6, middle)
    page.tab.mouse.down()
    page.tab.mouse.move(plot["x"] + plot["width"] * 0.7, middle, steps=4)
    page.tab.mouse.up()
    page.wait("location.hash.includes('zoom=')")
    page.wait("performance.getEntriesByType('resource').some(({name}) => name.includes('from='))")
    page.wait("!document.querySelector('.card.busy')")

    asked = [one for one in page.asked[before:] if "api/curves" in one]
    assert 1 == len(asked)
    assert "from=" in asked[0]
    page.tab.dblclick(".u-over")
    page.wait("!location.hash.includes('zoom=')")
    assert 1 == len([one for one in page.asked[before:] if "api/curves" in one])


def test_a_spike_is_drawn_where_points_are_denser_than_pixels(page: Any) -> None:
    """Of each column of pixels the greatest value is stroked, so one row of 30,000 is seen."""
    page.tab.set_viewport_size({"width": 400, "height": 800})
    page.go("#/curves?sel=long/spike")
    page.wait("!!document.querySelector('.card canvas') && !document.querySelector('.card.busy')")
    blue_above_the_middle = """() => {
        const canvas = document.querySelector('.card canvas');
        const { data } = canvas.getContext('2d')
            .getImageData(0, 0, canvas.width, Math.floor(canvas.height / 2));
        let found = 0;
        for (let at = 0; at < data.length; at += 4) {
            if (data[at + 2] - data[at] > 100 && data[at + 3] > 60) found += 1;
        }
        return found;
    }"""

    assert page.tab.evaluate(blue_above_the_middle) > 20


def test_attempts_of_a_resumed_run_are_told_apart(page: Any) -> None:
    """The cursor says to which attempt a point belongs, and the overview lists the earlier ones."""
    page.go("#/curves?sel=again/job")
    page.wait("!!document.querySelector('.card canvas') && !document.querySelector('.card.busy')")

    page.tab.focus(".card")
    page.tab.keyboard.press("ArrowLeft")
    page.wait_text("attempt 2")
    for _ in range(10):
        page.tab.keyboard.press("ArrowLeft")
    page.wait_text("attempt 1")
    page.go("#/run/again/job").wait_text("Earlier attempts 1")


def test_runs_of_a_group_are_one_band(page: Any) -> None:
    """With a band per optimizer, two runs are one curve between their least and greatest."""
    page.go(f"#/curves?band=param:optimizer&{SWEEP}")
    page.wait_text("optimizer adam · 2")
    page.wait("!!document.querySelector('.card canvas') && !document.querySelector('.card.busy')")

    assert "optimizer sgd · 1" in page.text()
    label = page.tab.get_attribute(".card", "aria-label")
    assert "optimizer adam (median of 2 runs)" in label
    page.tab.focus(".card")
    page.tab.keyboard.press("ArrowLeft")
    page.wait_text(" – ")
    page.tab.get_by_label("bands", exact=True).select_option("")
    page.wait("!location.hash.includes('band=')")
    page.wait("document.querySelector('.card').ariaLabel.includes('run-2')")


def test_nan_and_infinity_are_counted_on_the_chart(page: Any) -> None:
    """What is not finite has a badge with its number."""
    page.go("#/curves?sel=odd/diverged")
    page.wait("!!document.querySelector('.badge.bad')")

    assert ["NaN 20", "∞ 1"] == page.tab.locator(".card .badge").all_inner_texts()


def test_the_keyboard_is_enough(page: Any) -> None:
    """Arrows walk through the table, Space chooses, Enter opens, / goes to the filter."""
    page.go("#/runs?sort=run&q=experiment=sweep")
    page.wait_text("run-2")

    page.tab.focus(".table")
    page.tab.keyboard.press("ArrowDown")
    page.tab.keyboard.press("Space")
    page.wait("location.hash.includes('sel=sweep/run-1')")
    page.tab.keyboard.press("/")
    assert page.tab.evaluate("document.activeElement.classList.contains('filter')")
    page.tab.focus(".table")
    page.tab.keyboard.press("Enter")
    page.wait_text("Parameters")
    assert "#/run/sweep/run-1" in page.tab.url


def test_a_comparison_shows_what_differs(page: Any) -> None:
    """Parameters that differ have a row, those that are the same are counted."""
    page.go(f"#/compare?{SWEEP}")
    page.wait_text("Side by side")

    heads = page.tab.locator(".side-by-side tbody th").all_inner_texts()
    assert {"lr", "optimizer", "train/loss", "train/acc"} <= set(heads)
    assert "depth" not in heads
    assert "2 parameters differ, 1 is the same" in page.text()
    assert 3 == page.tab.locator(".parallel path.run").count()
    page.go("#/compare?sel=odd/diverged~long/spike").wait_text("no parameter differs")


def test_media_follow_the_slider(page: Any) -> None:
    """The slider of a tag shows the text of that step."""
    page.go("#/run/media/all?tab=media")
    page.wait_text("It is step 4.")

    slider = page.tab.get_by_label("step of answer")
    slider.focus()
    slider.press("Home")
    page.wait_text("It is step 0.")


def test_a_run_is_edited_and_deleted_after_a_question(
    visit: Any, serve: Any, shown_runs: Path, tmp_path: Path
) -> None:
    """Edits are in the run's files; a deletion happens only after the second button."""
    base = tmp_path / "copies"
    shutil.copytree(shown_runs / "sweep" / "run-0", base / "sweep" / "run-0")
    shutil.copytree(shown_runs / "sweep" / "run-1", base / "sweep" / "run-1")
    page = visit(serve(base)).go("#/run/sweep/run-0")

    page.tab.get_by_role("button", name="Edit").click()
    page.tab.get_by_label("Description").fill("the <b>first</b> one")
    page.tab.get_by_role("button", name="Save").click()
    page.wait_text("the <b>first</b> one")
    assert "first" in (base / "sweep" / "run-0" / "run.yaml").read_text()
    page.tab.get_by_label("Delete the run").click()
    assert (base / "sweep" / "run-0").exists()
    page.tab.click("dialog button.danger")
    page.wait_text("1 run deleted")
    assert not (base / "sweep" / "run-0").exists()
    page.wait("document.querySelectorAll('.row').length === 1")


def test_a_page_that_is_read_only_offers_no_change(
    visit: Any, serve: Any, shown_runs: Path
) -> None:
    """With --read-only there is neither Edit nor Delete."""
    page = visit(serve(shown_runs, read_only=True)).go("#/run/sweep/run-0")
    page.wait_text("Parameters")

    assert 0 == page.tab.get_by_role("button", name="Edit").count()
    page.go(f"#/runs?{SWEEP}").wait_text("3 runs chosen")
    assert "Delete" not in page.text()
    assert "read-only" in page.text()


def test_axes_have_ticks_that_parameters_can_have(page: Any) -> None:
    """Whole numbers have whole ticks; a range over a power of ten is shown by its logarithm."""
    ticks = """async values => {
        const { axisFor } = await import("./static/scales.js");
        const axis = axisFor(values);
        return [axis.log, ...axis.ticks.map(([, text]) => text)];
    }"""

    assert [False, "0", "2", "5", "7", "9"] == page.tab.evaluate(ticks, [*range(10)])
    assert [True, "0.001", "0.003", "0.01"] == page.tab.evaluate(ticks, [0.001, 0.003, 0.01])
    assert [False, "0.1", "0.5"] == page.tab.evaluate(ticks, [0.1, 0.5])


def test_a_run_that_is_being_read_says_so(visit: Any, served: str) -> None:
    """Until the first answer its page is not empty."""
    page = visit(served)
    asked: list[Any] = []
    page.tab.route("**/api/run?*", lambda route: asked.append(route))

    with page.tab.expect_request("**/api/run?*"):
        page.go("#/run/sweep/run-0")
    page.wait_text("loading…")
    asked[0].continue_()
    page.wait("document.querySelector('h1 bdi')?.textContent === 'run-0'")
    assert "loading…" not in page.text()
