"""Who may ask: everything is checked here, before any other code sees a request.

- Host: a page of another site that has its name point to 127.0.0.1 (DNS rebinding) sends its own
  name.
- Origin and Sec-Fetch-Site: a page of another origin, another port of this machine included,
  gets nothing, whatever cookies the browser sends along.
- The token, from the printed URL, becomes a cookie. In a notebook's frame, where browsers send no
  cookies, it is a part of the path: `/t/TOKEN/…`.
- Changes need the header X-Expman, which a form cannot send, and a page of another origin only
  after a question that is never answered with yes.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Collection, Iterable
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["LOOPBACK_NAMES", "PATH_PREFIX", "Guard", "host_name", "is_loopback"]

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
PATH_PREFIX = "/t/"
_READS = frozenset({"GET", "HEAD"})
_CHANGES = frozenset({"POST", "PATCH", "DELETE"})
_LONGEST_QUERY = 64 * 1024
_SECURITY = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_CONTENT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; font-src 'self'; base-uri 'none'; "
    "form-action 'none'"
)


def host_name(header: str) -> str | None:
    """Returns the name in a Host header, without the port; None if it is not one."""
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None


class _Refusal(Exception):
    """A request that gets nothing."""


class Guard:
    """Lets only the user's own requests through.

    Args:
        app: what they reach.
        token: the secret in the printed URL.
        port: the server's port, which the cookie's name has: cookies are shared by all ports.
        hosts: names, besides those of loopback, that the server may be called by; "*" is any.
        read_only: refuse every change.
    """

    def __init__(
        self, app: ASGIApp, token: str, port: int, hosts: Collection[str], read_only: bool
    ) -> None:
        self._app = app
        self._token = token
        self._cookie = f"expman-{port}"
        self._hosts = frozenset(host.lower() for host in hosts) | LOOPBACK_NAMES
        self._read_only = read_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or passes it on."""
        if scope["type"] != "http":
            return  # websockets and lifespans
        headers = Headers(scope=scope)
        try:
            way: Scope | Response | None = self._with_token_in_path(scope)
            if way is None:
                self._check_host(headers)
                self._check_origin(scope, headers)
                way = self._admit(scope, headers)
            self._check_change(scope, headers)
        except _Refusal as refusal:
            await self._sending(PlainTextResponse(f"{refusal}\n", 403), scope, receive, send)
            return
        if isinstance(way, Response):
            await self._sending(way, scope, receive, send)
        else:
            await self._sending(self._app, way, receive, send)

    # -- checks -------------------------------------------------------------------------

    def _check_host(self, headers: Headers) -> None:
        given = headers.getlist("host")
        name = host_name(given[0]) if len(given) == 1 else None
        if "*" in self._hosts or name in self._hosts:
            return
        raise _Refusal(
            "This server is not called by that host name; start it with --allow-host to allow it."
        )

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        site = headers.get("sec-fetch-site", "none")
        if site not in ("same-origin", "none") and not _opens_the_page(scope, headers):
            raise _Refusal("This request comes from a page of another origin.")
        origin = headers.get("origin")
        if origin is not None and _place(origin) != _place(f"//{headers['host']}"):
            raise _Refusal("This request comes from a page of another origin.")

    def _with_token_in_path(self, scope: Scope) -> Scope | None:
        """Returns what is asked for below a token; None if there is none.

        Host and origin do not matter then, and a proxy may change them: no page but ours knows
        the address, and nothing that a browser adds by itself is taken as a proof.
        """
        path: str = scope["path"]
        if not path.startswith(PATH_PREFIX):
            return None
        token, slash, rest = path[len(PATH_PREFIX) :].partition("/")
        if slash and self._is_token(token):
            return _without_prefix(scope, f"{PATH_PREFIX}{token}", f"/{rest}")
        raise _Refusal("The token in this address is not that of this server.")

    def _admit(self, scope: Scope, headers: Headers) -> Scope | Response:
        path: str = scope["path"]
        query = scope["query_string"].decode("latin-1")
        if len(query) > _LONGEST_QUERY:
            raise _Refusal("This request is too long.")
        fields = parse_qsl(query, keep_blank_values=True)
        given = [value for name, value in fields if name == "token"]
        if given and scope["method"] in _READS:
            if not self._is_token(given[-1]):
                raise _Refusal(
                    "The token in this address is not that of this server; "
                    "open the address that `expman ui` has printed."
                )
            return self._with_cookie(path, [one for one in fields if one[0] != "token"])
        cookies = cookie_parser("; ".join(headers.getlist("cookie")))
        if not self._is_token(cookies.get(self._cookie, "")):
            raise _Refusal(
                "This page needs the token of its server; "
                "open the address that `expman ui` has printed."
            )
        return scope

    def _check_change(self, scope: Scope, headers: Headers) -> None:
        if scope["method"] in _READS:
            return
        if scope["method"] not in _CHANGES:
            raise _Refusal("This server has no such method.")
        if self._read_only:
            raise _Refusal("This server was started with --read-only.")
        if headers.get("x-expman") != "1":
            raise _Refusal("A change needs the header X-Expman: 1.")
        kind = headers.get("content-type", "application/json").partition(";")[0].strip()
        if kind != "application/json":
            raise _Refusal("A change needs the content type application/json.")

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())

    def _with_cookie(self, path: str, fields: Iterable[tuple[str, str]]) -> Response:
        # A relative address: a proxy may have put something before the path.
        name = quote(path.rpartition("/")[2])
        rest = urlencode(list(fields))
        answer = RedirectResponse(f"./{name}{'?' if rest else ''}{rest}", 303)
        answer.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
        return answer

    # -- answers ------------------------------------------------------------------------

    async def _sending(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        in_frame = bool(scope.get("expman.in_frame"))
        # Who has the token in the path may show the page in a frame: nobody else knows it.
        content = _CONTENT if in_frame else f"{_CONTENT}; frame-ancestors 'none'"

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _SECURITY.items():
                    headers.setdefault(name, value)
                headers.setdefault("content-security-policy", content)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await app(scope, receive, send_secured)


def _opens_the_page(scope: Scope, headers: Headers) -> bool:
    """Returns whether a link or a frame leads to the page itself, which shows no data."""
    is_page = scope["path"].endswith("/") or "." not in scope["path"].rpartition("/")[2]
    return (
        scope["method"] == "GET"
        and headers.get("sec-fetch-mode") == "navigate"
        and is_page
        and "/api/" not in scope["path"]
    )


def _place(origin: str) -> tuple[str | None, int | None]:
    """Returns host and port of an origin; a default port is none."""
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return None, -1
    return parts.hostname, None if port in (80, 443) else port


def _without_prefix(scope: Scope, prefix: str, path: str) -> Scope:
    raw = scope.get("raw_path")
    inner = {**scope, "path": path, "expman.in_frame": True}
    if raw is not None:
        inner["raw_path"] = raw.removeprefix(prefix.encode())
    return inner


def is_loopback(host: str) -> bool:
    """Returns whether an address that the server listens on is that of this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
