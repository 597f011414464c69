"""The running server: its socket, its address, its end."""

from __future__ import annotations

import errno
import getpass
import os
import secrets
import socket
import threading
from collections.abc import Collection, Iterator
from types import FrameType

import uvicorn

from expman.dashboard.app import guarded, make_app
from expman.dashboard.catalog import Catalog
from expman.dashboard.context import Context
from expman.dashboard.events import OpenPages
from expman.dashboard.guard import PATH_PREFIX, is_loopback
from expman.errors import ConfigError
from expman.storage.memory import do_without

__all__ = ["DEFAULT_PORT", "Page"]

DEFAULT_PORT = 8642
TRIED_PORTS = 100
BACKLOG = 128
END_S = 2
_EVERYWHERE = ("0.0.0.0", "::", "")


class _Server(uvicorn.Server):
    """Ends the answers that would go on for ever when it is told to end."""

    events: OpenPages

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.events.close()
        super().handle_exit(sig, frame)


class Page:
    """A server of the page. Its socket is open when this object is there.

    Args:
        base_dir: directory that holds all experiments.
        host: the address to listen on.
        port: the port; 0: any free one; None: the first free one from `DEFAULT_PORT` on.
        allow_hosts: further names that the server may be called by.
        read_only: nothing can be changed.

    Attributes:
        port: the port.
        token: the secret in the address.

    Raises:
        ConfigError: there is no such directory, or it cannot listen there.
    """

    def __init__(
        self,
        base_dir: str,
        *,
        host: str = "127.0.0.1",
        port: int | None = None,
        allow_hosts: Collection[str] = (),
        read_only: bool = False,
    ) -> None:
        if not os.path.isdir(base_dir):
            raise ConfigError("base_dir", base_dir, "there is no such directory")
        self.host = host
        self.token = secrets.token_urlsafe(24)
        self._socket = _listening(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._context = Context(Catalog(base_dir), read_only=read_only)
        self._events = OpenPages(self._context)
        hosts = {host, *allow_hosts}
        if host in _EVERYWHERE:
            hosts |= _own_names()
        app = guarded(
            make_app(self._context, self._events),
            self.token,
            self.port,
            hosts,
            read_only=read_only,
        )
        config = uvicorn.Config(
            app,
            access_log=False,
            lifespan="off",
            log_level="error",
            log_config=None,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=END_S,
            timeout_keep_alive=60,
            ws="none",
        )
        self._server = _Server(config)
        self._server.events = self._events
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        """The address that opens the page, with the token."""
        return f"{self._origin}/?token={self.token}"

    @property
    def frame_address(self) -> str:
        """The address for a frame in another page, where browsers send no cookies."""
        return self._origin + self.frame_path

    @property
    def frame_path(self) -> str:
        """The path of that address."""
        return f"{PATH_PREFIX}{self.token}/"

    @property
    def _origin(self) -> str:
        host = "127.0.0.1" if self.host in ("0.0.0.0", "") else self.host
        host = "[::1]" if host == "::" else f"[{host}]" if ":" in host else host
        return f"http://{host}:{self.port}"

    @property
    def is_private(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)

    def hints(self) -> Iterator[str]:
        """Lines that say how to reach the page from elsewhere."""
        found = os.environ.get("SSH_CONNECTION", "").split()
        if found and self.is_private:
            to = f"{getpass.getuser()}@{found[2] if len(found) > 2 else socket.gethostname()}"
            there = f"127.0.0.1:{self.port}"
            yield f"Over SSH, type this on your own machine: ssh -N -L {self.port}:{there} {to}"
        if not self.is_private:
            if self.host in _EVERYWHERE:
                there = f"http://{socket.gethostname()}:{self.port}/?token={self.token}"
                yield f"From other machines: {there}"
            yield (
                f"Others on the network can reach port {self.port}, and what they read is not "
                "encrypted; the token is all that keeps them out."
            )

    def run(self) -> None:
        """Serves until Ctrl-C or SIGTERM. This process does without pandas from then on."""
        do_without({"pandas"}, "expman ui")
        self._begin()
        try:
            self._server.run(sockets=[self._socket])
        except KeyboardInterrupt:
            pass  # uvicorn raises it again at its end
        finally:
            self._end()

    def start(self) -> None:
        """Serves in a thread of this process."""
        self._begin()
        self._thread = threading.Thread(target=self._serve, name="expman-ui", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Ends the thread."""
        self._events.close()
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _serve(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._end()

    def _begin(self) -> None:
        self._context.catalog.begin()
        self._events.watcher.start()

    def _end(self) -> None:
        self._events.watcher.stop()
        self._context.catalog.remember()
        self._context.close()
        self._socket.close()


def _own_names() -> set[str]:
    """Returns the names and addresses of this machine, as far as they are known."""
    names = {socket.gethostname(), socket.getfqdn()}
    try:
        found = socket.getaddrinfo(socket.gethostname(), None)
    except OSError:
        found = []
    return names | {str(address[0]).partition("%")[0] for *_, address in found}


def _listening(host: str, port: int | None) -> socket.socket:
    """Returns a socket that listens."""
    wanted = range(DEFAULT_PORT, DEFAULT_PORT + TRIED_PORTS) if port is None else [port]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    failure: OSError | None = None
    for one in wanted:
        found = socket.socket(family, socket.SOCK_STREAM)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((host, one))
            found.listen(BACKLOG)
        except OSError as exc:
            found.close()
            failure = exc
            if exc.errno in (errno.EADDRINUSE, errno.EACCES):
                continue
            raise ConfigError("host", host, f"cannot listen there: {exc.strerror}") from exc
        return found
    assert failure is not None
    rule = f"cannot listen there: {failure.strerror}; choose another one with --port"
    raise ConfigError("port", wanted[0], rule) from failure
