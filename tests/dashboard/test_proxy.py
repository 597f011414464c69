"""The page behind a proxy that puts something before its path, as jupyter-server-proxy does."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

import expman
from expman import Experiment
from expman.dashboard.notebook import NotebookPage

pytestmark = pytest.mark.browser

PREFIX = "/user/me"
NOTEBOOK = b"""<!doctype html><link rel=icon href="data:,"><body>"""


class _Proxy(BaseHTTPRequestHandler):
    """Passes `/user/me/proxy/PORT/…` on to that port, with the Host that the browser sent."""

    def do_GET(self) -> None:
        if self.path == f"{PREFIX}/lab":
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(NOTEBOOK)
            return
        port, _, rest = self.path.removeprefix(f"{PREFIX}/proxy/").partition("/")
        path, mark, query = rest.partition("?")
        rest = quote(unquote(path), safe="/?#") + mark + query  # as jupyter-server-proxy does it
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)
        try:
            server.request(self.command, f"/{rest}", body, dict(self.headers))
            answer = server.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.end_headers()
            while piece := answer.read1(65536):
                self.wfile.write(piece)
        except OSError:
            pass  # one of the two has gone
        finally:
            server.close()

    do_PATCH = do_GET  # noqa: N815

    def log_message(self, *args: object) -> None:
        """Nothing is written to the terminal."""


@pytest.fixture
def origin() -> Iterator[str]:
    """The address of the proxy."""
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), _Proxy)
    proxy.daemon_threads = True
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{proxy.server_port}"
    proxy.shutdown()
    proxy.server_close()


@pytest.fixture
def shown(run_base: Path) -> Iterator[NotebookPage]:
    """What `expman.ui()` gives a notebook there. A test asks for it before `visit`: so its pages
    are closed before the server stops."""
    with Experiment("exp", "one", base_dir=run_base) as run:
        run.log_vector({"loss": 1.0}, 0)
    page = expman.ui(run_base, proxy=PREFIX)
    yield page
    page.stop()


def test_a_notebook_shows_the_page_in_a_frame(
    origin: str, shown: NotebookPage, visit: Any, run_base: Path
) -> None:
    """The frame has the runs, follows what happens, draws curves, and can change a run."""
    notebook = visit(f"{origin}{PREFIX}/lab")
    put = "html => { document.body.append(document.createRange().createContextualFragment(html)); }"
    notebook.tab.evaluate(put, shown._repr_html_())
    frame = notebook.tab.frame_locator("iframe")
    frame.locator(".row").wait_for()
    frame.get_by_text("live", exact=True).wait_for()

    with Experiment("exp", "two?", base_dir=run_base) as run:
        run.log_vector({"loss": 2.0}, 0)
    frame.locator(".row a.name", has_text="two").click()
    frame.get_by_role("button", name="Edit").click()
    frame.get_by_label("Description").fill("changed by a proxy")
    frame.get_by_role("button", name="Save").click()
    frame.get_by_text("changed by a proxy").wait_for()
    frame.get_by_role("button", name="Curves", exact=True).first.click()
    frame.locator(".card canvas").first.wait_for()

    assert "changed by a proxy" in (run_base / "exp" / "two?" / "run.yaml").read_text()


def test_the_address_with_the_token_works_there_too(
    origin: str, shown: NotebookPage, visit: Any
) -> None:
    """The token becomes a cookie, and what follows stays below the prefix."""
    port, _, query = shown.address.rpartition(":")[2].partition("/")
    page = visit(f"{origin}{PREFIX}/proxy/{port}/{query}")
    page.wait("document.querySelectorAll('.row').length === 1")

    assert f"{origin}{PREFIX}/proxy/{port}/" == page.base
    assert "token" not in page.base
