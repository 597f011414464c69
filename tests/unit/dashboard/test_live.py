"""Rows of a live run: they come as events, nothing is fetched twice, and one look serves all."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from page_client import DEADLINE_S, Browser, Serve

import expman
from expman.dashboard.catalog import Catalog
from expman.dashboard.live import LiveRuns
from expman.reading import live_run
from expman.reading.cursor import decode_cursor
from expman.reading.live_run import LiveRun
from expman.reading.series import SeriesRequest, make_series

if TYPE_CHECKING:
    from expman.dashboard.serving import Page


@pytest.fixture
def engine(tmp_path: Path, standing_writer: None) -> Iterator[expman.LoggingEngine]:
    """A live run."""
    config = expman.ExperimentConfig("exp", tmp_path / "base", run_name="live")
    with expman.LoggingEngine(config) as engine:
        engine.log_vector({"loss": 1.0}, 0)
        engine.flush()
        yield engine


def log(engine: expman.LoggingEngine, steps: range) -> None:
    for step in steps:
        engine.log_vector({"loss": float(step)}, step)
    engine.flush()


def until(events: Iterator[tuple[str, Any]], kind: str) -> Any:
    """The next event of a kind."""
    return next(data for found, data in events if found == kind)


def steps_after(browser: Browser, cursor: str) -> tuple[list[float], str]:
    """The steps that a cursor lacks, and the next cursor."""
    answer = browser.ask(f"/api/curves?run=exp/live&metric=loss&after={quote(cursor)}")
    return answer.table["x"].to_pylist(), answer.headers["x-expman-cursor"]


def test_rows_come_as_they_are_logged(engine: expman.LoggingEngine, serve: Serve) -> None:
    """An event says that there are some; the cursor gets each of them once."""
    browser = serve(Path(engine.run_dir).parent.parent)
    cursor = browser.ask("/api/curves?run=exp/live&metric=loss").headers["x-expman-cursor"]
    events = browser.events("/api/events?run=exp/live")
    assert {"id": "exp/live", "cursor": cursor} == until(events, "rows")
    seen: list[float] = []
    for first in (1, 11, 21):
        log(engine, range(first, first + 10))
        while len(seen) < first + 9:
            until(events, "rows")
            steps, cursor = steps_after(browser, cursor)
            seen += steps

    assert list(range(1, 31)) == seen
    assert {"main": 31} == decode_cursor(cursor)


def test_the_end_of_a_run_is_an_event(tmp_path: Path, serve: Serve, standing_writer: None) -> None:
    """The table's row changes its status; a deleted run is said to be gone."""
    base = tmp_path / "base"
    config = expman.ExperimentConfig("exp", base, run_name="live")
    engine = expman.LoggingEngine(config)
    engine.log_vector({"loss": 1.0}, 0)
    engine.flush()
    browser = serve(base)
    version = browser.ask("/api/runs").json["version"]
    events = browser.events(f"/api/events?run=exp/live&version={version}")

    engine.close()
    while [run["status"] for run in until(events, "runs")["runs"]] != ["FINISHED"]:
        pass
    shutil.rmtree(engine.run_dir)

    assert ["exp/live"] == until(events, "runs")["removed"]
    assert "exp/live" == until(events, "gone")["id"]


def test_a_base_directory_that_goes_away_is_an_event(tmp_path: Path, serve: Serve) -> None:
    """And that it is back."""
    base = tmp_path / "base"
    base.mkdir()
    events = serve(base).events("/api/events")
    next(events)

    base.rename(tmp_path / "moved")
    assert "no such directory" in until(events, "gone")["why"]
    (tmp_path / "moved").rename(base)

    assert {"id": None, "why": None} == until(events, "gone")


def test_one_look_serves_all(engine: expman.LoggingEngine) -> None:
    """However many pages ask, the files are read by one follower, from where it was."""
    catalog = Catalog(str(Path(engine.run_dir).parent.parent))
    catalog.scan()
    runs = LiveRuns(catalog)
    live = runs.watch("exp/live")
    assert live is not None
    assert live is runs.watch("exp/live")
    runs.look()
    cursor = live.cursor
    log(engine, range(1, 4))

    news = runs.look()
    again = runs.look()
    rows = live.rows_after(cursor)

    assert [("exp/live", "rows")] == [one[:2] for one in news]
    assert [] == again
    assert rows is not None
    table = make_series(rows, SeriesRequest(["loss"], after=cursor)).table()
    assert [1.0, 2.0, 3.0] == table["x"].to_pylist()
    runs.close()


def test_what_is_kept_is_bounded(
    engine: expman.LoggingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older rows are read from the files then."""
    monkeypatch.setattr(live_run, "KEPT_BYTES", 1)
    live = LiveRun(engine.run_dir)
    live.look()
    cursor = live.cursor
    for step in (1, 2, 3):
        log(engine, range(step, step + 1))
        live.look()

    assert live.rows_after(cursor) is None
    kept = live.rows_after({"main": 3})
    assert kept is not None
    assert [3.0] == make_series(kept, SeriesRequest(["loss"], after={"main": 3})).table()[
        "x"
    ].to_pylist()
    live.close()


def test_a_run_that_nobody_looks_at_is_given_back(
    engine: expman.LoggingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files are closed."""
    monkeypatch.setattr(live_run, "FORGET_S", -1.0)
    catalog = Catalog(str(Path(engine.run_dir).parent.parent))
    catalog.scan()
    runs = LiveRuns(catalog)
    first = runs.watch("exp/live")

    assert [] == runs.look()
    assert first is not runs.watch("exp/live")
    runs.close()


def test_the_console_of_a_live_run(tmp_path: Path, serve: Serve, standing_writer: None) -> None:
    """A page reads what was appended, whole lines, from the byte that it has."""
    run = tmp_path / "base" / "exp" / "r"
    run.mkdir(parents=True)
    (run / "run.yaml").write_text("status: RUNNING\n")
    stamp = "[2026-01-31T12:00:00.000Z]"
    log = run / "console.log"
    log.write_text(f"{stamp} [out] one\n{stamp} [err worker-0] two\n{stamp} [out] to")
    browser = serve(tmp_path / "base")

    first = browser.ask("/api/run/console?run=exp/r&tail=1").json
    with log.open("a") as file:
        file.write(f"rn\n{stamp} [out] \x1b[31m<b>four</b>\n")
    rest = browser.ask(f"/api/run/console?run=exp/r&from={first['next']}").json

    assert [("err", "worker-0", "two")] == [
        (line["stream"], line["producer"], line["text"]) for line in first["lines"]
    ]
    assert ["torn", "<b>four</b>"] == [line["text"] for line in rest["lines"]]
    assert rest["next"] == rest["size"] == log.stat().st_size


def test_a_page_that_is_closed_is_forgotten(
    tmp_path: Path, serve: Serve, pages: list[Page]
) -> None:
    """The server looks at nothing while no page is open, and ends at once while some are."""
    browser = serve(tmp_path)
    opened = pages[0]._events
    streams = [browser.events("/api/events") for _ in range(3)]
    for stream in streams:
        next(stream)
    assert 3 == len(opened._clients)

    streams[0].close()
    streams[1].close()
    deadline = time.monotonic() + DEADLINE_S
    while len(opened._clients) > 1 and time.monotonic() < deadline:
        time.sleep(0.01)

    assert 1 == len(opened._clients)
    pages[0].stop()
    assert [] == list(streams[2])
    assert not opened.watcher._thread.is_alive()


def test_pages_that_ask_alike_share_an_answer(
    engine: expman.LoggingEngine, serve: Serve, pages: list[Page]
) -> None:
    """Ten tabs of one run cost about as much as one."""
    browser = serve(Path(engine.run_dir).parent.parent)
    cursor = browser.ask("/api/curves?run=exp/live&metric=loss").headers["x-expman-cursor"]
    events = browser.events("/api/events?run=exp/live")
    until(events, "rows")
    log(engine, range(1, 5))
    until(events, "rows")
    cache = pages[0]._context.cache
    before = len(cache._found)

    answers = [steps_after(browser, cursor) for _ in range(10)]

    assert 1 == len({cursor for _, cursor in answers})
    assert [1.0, 2.0, 3.0, 4.0] == answers[0][0]
    assert 1 == len(cache._found) - before
