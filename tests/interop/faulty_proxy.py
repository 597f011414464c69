"""A proxy before an object store that fails as stores and networks do."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterable, Iterator

__all__ = ["FaultyProxy"]

_REFUSED = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>InvalidAccessKeyId</Code>'
    b"<Message>The AWS Access Key Id you provided does not exist in our records.</Message></Error>"
)


class FaultyProxy:
    """Passes connections on; each may have a fault of its own.

    Args:
        port: of the store.

    Attributes:
        port: of the proxy.
        faults: of the connections to come, in turn: "500", "403", "torn", "slow", "" for none.
        seen: number of connections so far.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.faults: Iterator[str] = iter(())
        self.seen = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def fail(self, faults: Iterable[str]) -> None:
        """Sets the faults of the connections to come."""
        with self._lock:
            self.faults = iter(faults)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            with self._lock:
                self.seen += 1
                fault = next(self.faults, "")
            threading.Thread(target=self._pass_on, args=(client, fault), daemon=True).start()

    def _pass_on(self, client: socket.socket, fault: str) -> None:
        with client, contextlib.suppress(OSError):
            if fault in ("500", "403"):
                client.recv(65536)
                status = b"500 Internal Server Error" if fault == "500" else b"403 Forbidden"
                body = b"" if fault == "500" else _REFUSED
                head = b"HTTP/1.1 %b\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n"
                client.sendall(head % (status, len(body)) + b"Connection: close\r\n\r\n" + body)
                return
            if fault == "slow":
                time.sleep(0.2)
            with socket.create_connection(("127.0.0.1", self._target)) as store:
                back = threading.Thread(target=_copy, args=(store, client, None), daemon=True)
                back.start()
                _copy(client, store, 300 if fault == "torn" else None)

    def close(self) -> None:
        """Takes no more connections."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()


def _copy(source: socket.socket, target: socket.socket, most: int | None) -> None:
    done = 0
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            if most is not None and done + len(data) > most:
                target.sendall(data[: most - done])
                target.shutdown(socket.SHUT_RDWR)
                source.shutdown(socket.SHUT_RDWR)
                return
            target.sendall(data)
            done += len(data)
        target.shutdown(socket.SHUT_WR)
