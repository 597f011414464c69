"""The functions of `wandb.util` that scripts use."""

from __future__ import annotations

import secrets
import string

__all__ = ["generate_id", "make_artifact_name_safe"]

_SAFE = frozenset(string.ascii_letters + string.digits + "_-.")


def generate_id(length: int = 8) -> str:
    """A random name of small letters and digits, for a run."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(length))


def make_artifact_name_safe(name: str) -> str:
    """The name with `_` for each character that an artifact's name cannot have."""
    return "".join(char if char in _SAFE else "_" for char in name)
