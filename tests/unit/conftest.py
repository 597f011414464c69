"""A standing writer for tests to which it does not matter which writer an engine has."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

DEADLINE_S = 120.0


@pytest.fixture(scope="session")
def _address() -> Iterator[str]:
    writer = subprocess.Popen(
        [sys.executable, "-m", "expman.writer"], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    name, _, address = writer.stdout.readline().strip().partition("=")
    assert name == "EXPMAN_WRITER"
    yield address
    writer.send_signal(signal.SIGTERM)
    writer.stdout.close()
    assert writer.wait(DEADLINE_S) == 0


@pytest.fixture
def standing_writer(_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines of this test use the session's standing writer: no test waits for one to start."""
    monkeypatch.setenv("EXPMAN_WRITER", _address)


@pytest.fixture
def own_writer(standing_writer: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines of this test start writers of their own."""
    monkeypatch.delenv("EXPMAN_WRITER")
