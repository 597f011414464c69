"""Who gets an answer: nobody but the user, whatever page of whatever origin asks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from page_client import Browser, Serve

if TYPE_CHECKING:
    from expman.dashboard.serving import Page

ADDRESSES = (
    *("/", "/static/index.html", "/api/info", "/api/runs", "/api/events", "/api/run?run=exp/one"),
    *("/api/curves?run=exp/one&metrics=loss", "/api/run/console?run=exp/one", "/nothing"),
)


def test_without_the_token_there_is_nothing(serve: Serve, tmp_path: Path) -> None:
    """Each address needs the cookie; one sentence says how to get it."""
    browser = Browser(serve(tmp_path).port)

    for path in ADDRESSES:
        answer = browser.ask(path)
        assert 403 == answer.status
        assert answer.text.startswith("This page needs the token of its server;")
        assert 1 == answer.text.count("\n")


def test_the_token_becomes_a_cookie(serve: Serve, tmp_path: Path, pages: list[Page]) -> None:
    """The address is then the same without the token, and the cookie is for this port alone."""
    browser = Browser(serve(tmp_path).port)
    token = pages[0].token

    answer = browser.ask(f"/?token={token}&view=runs")

    assert (303, "./?view=runs") == (answer.status, answer.headers["location"])
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"expman-{browser.port}={token}; ")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} == set(cookie.split("; ")[1:])


@pytest.mark.parametrize("token", ["", "wrong", "%00", "%C3%A9"])
def test_a_wrong_token_is_refused(serve: Serve, tmp_path: Path, token: str) -> None:
    """Nor does the cookie help that comes with it."""
    browser = serve(tmp_path)

    assert 403 == browser.ask(f"/?token={token}").status
    assert 403 == browser.ask(f"/t/{token or 'x'}/api/info").status
    browser.cookie = f"expman-{browser.port}=wrong"
    assert 403 == browser.ask("/api/info").status


def test_the_token_may_be_in_the_path(serve: Serve, tmp_path: Path, pages: list[Page]) -> None:
    """A frame of a notebook gets no cookie; all its addresses are below the token's."""
    browser = Browser(serve(tmp_path).port)

    page = browser.ask(f"/t/{pages[0].token}/")
    info = browser.ask(f"/t/{pages[0].token}/api/info")
    script = browser.ask(f"/t/{pages[0].token}/static/index.html")

    assert [200, 200, 200] == [page.status, info.status, script.status]
    assert "frame-ancestors" not in page.headers["content-security-policy"]
    assert "set-cookie" not in page.headers


STRANGE_HOSTS = (
    *("evil.example", "evil.example:PORT", "127.0.0.1.evil.example:PORT", "localhost.evil:1"),
    *("", "169.254.169.254", "[::2]:80", "127.0.0.1@evil.example", "[", "a b"),
)


def test_a_name_that_was_bound_to_loopback_is_refused(serve: Serve, tmp_path: Path) -> None:
    """DNS rebinding: the browser believes that the server is of the attacker's origin."""
    browser = serve(tmp_path)

    for host in STRANGE_HOSTS:
        answer = browser.ask("/api/info", Host=host.replace("PORT", str(browser.port)))
        assert 403 == answer.status
        assert b"base_dir" not in answer.body


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:99", "my.box"])
def test_own_names_are_taken(serve: Serve, tmp_path: Path, host: str) -> None:
    """Ports differ behind a tunnel; further names are those of --allow-host."""
    assert 200 == serve(tmp_path, allow_hosts=["My.Box"]).ask("/api/info", Host=host).status


FOREIGN = (
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://localhost:PORT"},
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
    {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"},
    {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"},
    {"Origin": "http://[", "Sec_Fetch_Site": "same-origin"},
)


def test_a_page_of_another_origin_gets_nothing(serve: Serve, base: Path) -> None:
    """Not even with the cookie, which a browser sends to every port of a host."""
    browser = serve(base)

    for headers in FOREIGN:
        sent = {name: value.replace("PORT", str(browser.port)) for name, value in headers.items()}
        for path in ("/api/info", "/api/runs", "/api/run/artifact?run=exp/one&path=source.txt"):
            answer = browser.ask(path, **sent)
            assert 403 == answer.status
            assert "access-control-allow-origin" not in answer.headers
        assert 403 == browser.change("/api/run?run=exp/one", "DELETE", **sent).status
    assert (base / "exp" / "one" / "run.yaml").exists()


def test_the_page_itself_can_be_opened_by_a_link(serve: Serve, tmp_path: Path) -> None:
    """A link in another page or a terminal may lead to it: it shows nothing by itself."""
    browser = serve(tmp_path)
    link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}

    assert 200 == browser.ask("/", **link).status
    assert 200 == browser.ask("/api/info", Sec_Fetch_Site="same-origin").status


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE", "PUT", "OPTIONS", "TRACE", "FOO"])
def test_a_change_needs_the_header(serve: Serve, base: Path, method: str) -> None:
    """A form cannot send it, and a script of another origin would have to ask before."""
    answer = serve(base).ask("/api/run?run=exp/one", method, b"{}", Content_Type="application/json")

    assert 403 == answer.status
    assert (base / "exp" / "one" / "run.yaml").exists()


def test_a_change_must_be_json(serve: Serve, base: Path) -> None:
    """A form may send text/plain without a question."""
    answer = serve(base).change("/api/run?run=exp/one", "PATCH", {}, Content_Type="text/plain")

    assert (403, "A change needs the content type application/json.\n") == (
        answer.status,
        answer.text,
    )


def test_read_only_refuses_every_change(serve: Serve, base: Path) -> None:
    """Whatever comes with it."""
    browser = serve(base, read_only=True)

    assert browser.ask("/api/info").json["read_only"]
    for method in ("PATCH", "DELETE", "POST"):
        answer = browser.change("/api/run?run=exp/one", method, {"tags": []})
        assert (403, "This server was started with --read-only.\n") == (answer.status, answer.text)
    assert (base / "exp" / "one" / "run.yaml").exists()


def test_every_answer_is_locked_up(serve: Serve, base: Path) -> None:
    """No script but the page's own, no frame, no other host, no guessing of types."""
    browser = serve(base)

    for path in ADDRESSES:
        if "events" in path:
            continue
        headers = browser.ask(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert "nosniff" == headers["x-content-type-options"]
        assert "no-referrer" == headers["referrer-policy"]
        assert "same-origin" == headers["cross-origin-resource-policy"]
        assert not {name for name in headers if name.startswith("access-control")}
        assert "server" not in headers
