"""The version of this expman, as it is installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["VERSION"]

try:
    VERSION = version("expman-sidecar")
except PackageNotFoundError:
    VERSION = "unknown (a source tree that is not installed)"
