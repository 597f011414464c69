"""A server of the page in a process of its own, and a run that goes on; for measurements."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

__all__ = ["PageServer", "start_trainer"]

_SERVE = """
import sys
from expman.dashboard.serving import Page
page = Page(sys.argv[1], port=0)
print(page.address, flush=True)
page.run()
"""
_TRAIN = """
import random, sys, time
from expman import ExperimentConfig, LoggingEngine
base, rate, metrics, seconds = sys.argv[1], *map(float, sys.argv[2:])
with LoggingEngine(ExperimentConfig("live", base, run_name="live", quiet=True)) as engine:
    began, step = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        engine.log_vector({f"m{n}": random.random() for n in range(int(metrics))}, step)
        step += 1
        ahead = began + step / rate - time.monotonic()
        if ahead > 0.002:
            time.sleep(ahead)
"""


@dataclass
class PageServer:
    """A server as a context.

    Args:
        base: the directory that it shows; beside it is the server's cache.
    """

    base: Path
    process: subprocess.Popen[str] = field(init=False)
    port: int = field(init=False)
    cookie: str = field(init=False)

    def __enter__(self) -> PageServer:
        command = [sys.executable, "-c", _SERVE, str(self.base)]
        # What an earlier server has kept would make it quicker.
        environment = {**os.environ, "XDG_CACHE_HOME": str(self.base.parent / "cache")}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout is not None
        address = urlsplit(self.process.stdout.readline().strip())
        assert address.port is not None
        self.port = address.port
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("GET", f"/?{address.query}")
        answer = connection.getresponse()
        self.cookie = (answer.getheader("set-cookie") or "").partition(";")[0]
        connection.close()
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.terminate()
        self.process.communicate()

    def ask(self, path: str) -> tuple[bytes, dict[str, str]]:
        """Asks for a path; returns the body and the headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request("GET", path, headers={"Cookie": self.cookie})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        connection.close()
        return body, {name.lower(): value for name, value in answer.getheaders()}

    def events(self, path: str) -> Iterator[tuple[str, Any]]:
        """Yields server-sent events."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request("GET", path, headers={"Cookie": self.cookie})
        answer = connection.getresponse()
        kind = ""
        while line := answer.readline().decode():
            if line.startswith("event: "):
                kind = line[7:].strip()
            elif line.startswith("data: "):
                yield kind, json.loads(line[6:])

    @property
    def cpu_s(self) -> float:
        """Processor time that it has used."""
        text = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(text[11]) + int(text[12])) / 100

    @property
    def memory_mb(self) -> float:
        """Memory that it has now."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1000

    @property
    def open_files(self) -> int:
        """Descriptors that it has now."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def start_trainer(base: Path, rate: float, metrics: int, seconds: float) -> subprocess.Popen[bytes]:
    """Starts the run `live/live`, which logs so many rows a second; returns when it is there."""
    arguments = [str(base), str(rate), str(metrics), str(seconds)]
    trainer = subprocess.Popen([sys.executable, "-c", _TRAIN, *arguments])
    while not (base / "live" / "live" / "run.yaml").exists():
        time.sleep(0.05)
    return trainer
