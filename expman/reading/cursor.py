"""A cursor: how far the rows of a run go that somebody has."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import TypeAlias

from expman.errors import ConfigError

__all__ = ["UNNUMBERED", "Cursor", "decode_cursor", "encode_cursor"]

Cursor: TypeAlias = Mapping[str, int]
"""Producer to the first `_seq` that is lacking."""
UNNUMBERED = ""
"""The key of the count of rows, in the cursor of a run whose rows have no numbers."""


def encode_cursor(cursor: Cursor) -> str:
    """Returns a cursor as text that can stand in a URL."""
    data = json.dumps(dict(sorted(cursor.items()))).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode_cursor(text: str) -> Cursor:
    """Reads a cursor.

    Raises:
        ConfigError: it is not one.
    """
    try:
        found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return {str(producer): int(seq) for producer, seq in found.items()}
    except (ValueError, TypeError, AttributeError) as exc:
        raise ConfigError("after", text, "is not a cursor of this page") from exc
