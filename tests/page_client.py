"""A client of the page's server that sends exactly what a test says, and a run to show."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

import expman

if TYPE_CHECKING:
    from expman.dashboard.serving import Page

DEADLINE_S = 120.0


@dataclass
class Answer:
    """What the server said."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def table(self) -> pa.Table:
        with pa.ipc.open_stream(self.body) as reader:
            return reader.read_all()


@dataclass
class Browser:
    """Asks a server as a page of its own would."""

    port: int
    cookie: str | None = None
    host: str = ""
    sent: dict[str, str] = field(default_factory=dict)

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: object = None,
        **headers: str,
    ) -> Answer:
        """Sends a request; `Sec_Fetch_Site` is the header Sec-Fetch-Site."""
        fields = {"Host": self.host or f"127.0.0.1:{self.port}", **self.sent}
        if self.cookie is not None:
            fields["Cookie"] = self.cookie
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in fields.items():
                connection.putheader(name, value)
            if data is not None:
                connection.putheader("Content-Length", str(len(data)))
            connection.endheaders(data)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def change(self, path: str, method: str, body: object = None, **headers: str) -> Answer:
        """Sends a change, with the header that it needs."""
        return self.ask(
            path, method, body, **{"X_Expman": "1", "Content_Type": "application/json", **headers}
        )

    def events(self, path: str) -> Iterator[tuple[str, Any]]:
        """Yields server-sent events."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            connection.request("GET", path, headers={"Cookie": self.cookie or ""})
            answer = connection.getresponse()
            assert 200 == answer.status
            kind = ""
            while line := answer.readline().decode():
                if line.startswith("event: "):
                    kind = line[7:].strip()
                elif line.startswith("data: "):
                    yield kind, json.loads(line[6:])
        finally:
            connection.close()


Serve = Callable[..., Browser]


def signed_in(page: Page) -> Browser:
    """A browser that has opened the printed address."""
    browser = Browser(page.port)
    answer = browser.ask(f"/?token={page.token}")
    assert 303 == answer.status
    browser.cookie = answer.headers["set-cookie"].partition(";")[0]
    return browser


def record(base_dir: Path, name: str, rows: int = 10, **settings: Any) -> Path:
    """Records a run that has something of everything that costs no extra package."""
    with expman.LoggingEngine(
        expman.ExperimentConfig("exp", base_dir, run_name=name, **settings)
    ) as engine:
        engine.log_params({"lr": 0.1, "model": {"layers": 3}})
        for step in range(rows):
            engine.log_vector({"loss": 1 / (step + 1), "acc": step / 10, "text": "a"}, step)
        engine.log_scalar("best", 0.5)
        engine.log_message("INFO", "hello")
        source = base_dir / "source.txt"
        source.write_text("saved")
        engine.save_artifact(str(source))
        source.unlink()
        run_dir = Path(engine.run_dir)
    return run_dir
