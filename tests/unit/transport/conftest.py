"""An address for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lanes import fresh_address

from expman.transport.segment import Address


@pytest.fixture
def address() -> Iterator[Address]:
    """An address that lanes can be claimed under."""
    with fresh_address() as fresh:
        yield fresh
