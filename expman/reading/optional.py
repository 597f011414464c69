"""Packages that only some functions need: their absence says what to install."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["SQL", "needs"]

SQL = "'expman-sidecar[sql]'"
"""What brings duckdb."""


@contextmanager
def needs(package: str, install: str = "") -> Iterator[None]:
    """Explains the failure to import a package.

    Args:
        package: what is imported in the block.
        install: what pip is to install, if not the package itself.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as exc:
        if exc.name != package:
            raise
        text = (
            f"this needs {package}, which is not installed; run: pip install {install or package}"
        )
        raise ModuleNotFoundError(text, name=package) from None
