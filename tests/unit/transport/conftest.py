"""An address for each test, and no waiting for threads that are held up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lanes import fresh_address

from expman.transport import open_term
from expman.transport.segment import Address


@pytest.fixture
def address() -> Iterator[Address]:
    """An address that lanes can be claimed under."""
    with fresh_address() as fresh:
        yield fresh


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for counts as waited for at once."""
    monkeypatch.setattr(open_term, "SETTLE_S", 0)
