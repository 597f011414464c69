"""Runs, a server that shows them, and a browser that looks; all three for the whole session."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

DEADLINE_S = 120.0
PROGRAM = Path(__file__).parents[1] / "programs" / "page_runs.py"


@pytest.fixture(scope="session")
def shown_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base directory with runs of all sorts."""
    base = tmp_path_factory.mktemp("page") / "experiments"
    base.mkdir()
    env = os.environ | {"EXPMAN_QUIET": "1"}
    subprocess.run([sys.executable, PROGRAM, base, "all"], check=True, env=env, timeout=120)
    killed = base / "odd" / "killed" / "run.yaml"
    deadline = time.monotonic() + DEADLINE_S
    while "CRASHED" not in killed.read_text():
        assert time.monotonic() < deadline, "the killed run never got its status"
        time.sleep(0.05)
    return base


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox"],
            timeout=1000 * DEADLINE_S,
        )
        yield started
        started.close()


class Visit:
    """A page of the browser, and what went wrong on it."""

    def __init__(self, tab: Any, address: str) -> None:
        self.tab = tab
        self.wrong: list[str] = []
        self.hosts: set[str] = set()
        self.asked: list[str] = []
        tab.on("console", lambda one: one.type in ("error", "warning") and self._note(one.text))
        tab.on("pageerror", lambda error: self._note(error.stack))
        tab.on("dialog", lambda dialog: (self._note(f"dialog {dialog.message}"), dialog.dismiss()))
        tab.on("request", self._requested)
        tab.goto(address)
        self.base = tab.url.split("#")[0]

    def _note(self, text: str) -> None:
        self.wrong.append(text)

    def _requested(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss"):
            self.hosts.add(parts.netloc)
        self.asked.append(request.url)

    def go(self, place: str) -> Visit:
        """Opens a view in the page that is there."""
        self.tab.evaluate("place => { location.hash = place; }", place)
        self.wait("document.documentElement.dataset.ready === '1'")
        return self

    def reload(self, place: str) -> Visit:
        """Opens a view as a link does: in a page that is read anew."""
        self.tab.goto("about:blank")
        self.tab.goto(self.base + place)
        return self

    def wait(self, condition: str) -> None:
        """Waits until an expression is true.

        Playwright's own way needs `eval`, which the page's security policy forbids.
        """
        deadline = time.monotonic() + DEADLINE_S
        while not self.tab.evaluate(condition):
            if time.monotonic() > deadline:
                pytest.fail(f"never true: {condition}\n{self.text()}\n{self.wrong}")
            time.sleep(0.02)

    def wait_text(self, text: str) -> None:
        self.wait(f"document.body.innerText.includes({text!r})")

    def text(self) -> str:
        found: str = self.tab.inner_text("body")
        return found


OpenPage = Callable[..., Visit]


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Starts servers of directories, which end after the pages; gives their addresses."""
    from expman.dashboard.serving import Page

    started: list[Page] = []

    def start(base_dir: Path, *, read_only: bool = False) -> str:
        started.append(Page(str(base_dir), port=0, read_only=read_only))
        started[-1].start()
        return started[-1].address

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def visit(browser: Any, serve: Any) -> Iterator[OpenPage]:
    """Opens addresses; at the end of the test nothing must have gone wrong on any of them."""
    opened: list[tuple[Any, Visit]] = []

    def open_page(address: str, **options: Any) -> Visit:
        context = browser.new_context(viewport={"width": 1280, "height": 800}, **options)
        context.set_default_timeout(1000 * DEADLINE_S)
        opened.append((context, Visit(context.new_page(), address)))
        return opened[-1][1]

    yield open_page
    for context, one in opened:
        context.close()
        assert [] == one.wrong
        assert one.hosts <= {urlsplit(one.base).netloc} - {""}, "a request left the server"


@pytest.fixture(scope="session")
def served(shown_runs: Path) -> Iterator[str]:
    """The address of a server for these runs."""
    from expman.dashboard.serving import Page

    page = Page(str(shown_runs), port=0)
    page.start()
    yield page.address
    page.stop()


@pytest.fixture
def page(visit: OpenPage, served: str) -> Visit:
    return visit(served)
