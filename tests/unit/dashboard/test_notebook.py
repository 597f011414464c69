"""`expman.ui()` and the printed lines: how the page is reached."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from page_client import Browser

import expman
from expman.dashboard.notebook import NotebookPage
from expman.dashboard.serving import Page


@pytest.fixture
def shown(base: Path) -> Iterator[NotebookPage]:
    """The page in a notebook."""
    page = expman.ui(base)
    yield page
    page.stop()


def source(page: NotebookPage) -> str:
    found = re.search(r'<iframe src="([^"]+)"', page._repr_html_())
    assert found is not None
    return found[1]


def test_a_notebook_shows_a_frame(shown: NotebookPage) -> None:
    """Its address has the token, for browsers send no cookie from there; any host may be in it."""
    found = re.fullmatch(r"http://127.0.0.1:(\d+)(/t/[\w-]{32}/)", source(shown))
    assert found is not None
    browser = Browser(int(found[1]), host="hub.example")

    page = browser.ask(found[2], Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")
    runs = browser.ask(f"{found[2]}api/runs", Origin="https://hub.example")
    change = browser.change(f"{found[2]}api/run?run=exp/one", "PATCH", {"tags": ["x"]})

    assert [200, 200, 200] == [page.status, runs.status, change.status]
    assert "frame-ancestors" not in page.headers["content-security-policy"]
    assert "exp/one" == runs.json["runs"][0]["id"]


def test_a_second_call_shows_the_same_server(shown: NotebookPage, base: Path) -> None:
    """And none is left after `stop()`."""
    again = expman.ui(base, height=300)

    assert (shown.address, source(shown)) == (again.address, source(again))
    assert 'height="300"' in again._repr_html_()
    again.stop()
    third = expman.ui(base)
    assert shown.address != third.address
    third.stop()


@pytest.mark.parametrize(
    ("proxy", "prefix", "begins"),
    [
        (None, None, "http://127.0.0.1:"),
        (None, "/user/me/", "/user/me/proxy/"),
        (False, "/user/me/", "http://127.0.0.1:"),
        (True, None, "/proxy/"),
        ("/lab", None, "/lab/proxy/"),
    ],
)
def test_a_proxy_of_jupyter(
    shown: NotebookPage,
    base: Path,
    monkeypatch: pytest.MonkeyPatch,
    proxy: Any,
    prefix: str | None,
    begins: str,
) -> None:
    """On a hub the browser reaches the server only through jupyter-server-proxy."""
    monkeypatch.delenv("JUPYTERHUB_SERVICE_PREFIX", raising=False)
    if prefix is not None:
        monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", prefix)

    assert source(expman.ui(base, proxy=proxy)).startswith(begins)


def test_the_directory_of_the_environment(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As everywhere; one that does not exist is a mistake."""
    monkeypatch.setenv("EXPMAN_BASE_DIR", str(base / "nothing"))

    with pytest.raises(expman.ConfigError, match="there is no such directory"):
        expman.ui()


def test_a_missing_extra(monkeypatch: pytest.MonkeyPatch, base: Path) -> None:
    """One line says what to install."""
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "expman.dashboard.serving", raising=False)

    with pytest.raises(ModuleNotFoundError, match=r"pip install 'expman-sidecar\[ui\]'"):
        expman.ui(base)


def test_the_hint_for_ssh(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line to type has the port, and this machine as the user's own one knows it."""
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.9 50000 10.0.0.1 22")
    monkeypatch.setattr("getpass.getuser", lambda: "me")
    page = Page(str(base), port=0)

    hints = list(page.hints())
    page.stop()
    page._end()

    there = f"{page.port}:127.0.0.1:{page.port}"
    assert [f"Over SSH, type this on your own machine: ssh -N -L {there} me@10.0.0.1"] == hints


def test_a_taken_port(base: Path) -> None:
    """Without --port the next one is taken; with it, a sentence says what to do."""
    first, second = Page(str(base)), Page(str(base))

    assert first.port < second.port
    with pytest.raises(expman.ConfigError, match="choose another one with --port"):
        Page(str(base), port=first.port)
    for page in (first, second):
        page._end()


def test_others_are_warned_of(base: Path) -> None:
    """A server that the network can reach says so."""
    page = Page(str(base), host="0.0.0.0", port=0)

    first, second = page.hints()
    assert first.startswith(
        f"From other machines: http://{socket.gethostname()}:{page.port}/?token="
    )
    assert "not encrypted" in second
    assert page.address.startswith("http://127.0.0.1:")
    page._end()
