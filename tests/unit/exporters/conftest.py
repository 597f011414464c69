"""What is exported is imported again."""

from __future__ import annotations

from unit.importers.conftest import importing

__all__ = ["importing"]
