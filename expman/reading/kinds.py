"""The numbers of a metric that are kept of it."""

from __future__ import annotations

from typing import Literal

__all__ = ["KINDS", "BestKind"]

BestKind = Literal["min", "max", "last"]
KINDS: tuple[BestKind, ...] = ("min", "max", "last")
