"""What a reader of foreign bytes raises."""

from __future__ import annotations

__all__ = ["DamagedError"]


class DamagedError(ValueError):
    """Bytes that are not what their format says."""
