"""Parameters and name that a sweep passes to the process of a trial by its environment."""

from __future__ import annotations

import os

__all__ = ["sweep_name", "sweep_params"]

_PREFIX = "EXPMAN_PARAM_"


def sweep_params() -> dict[str, int | float | str]:
    """The parameters that the sweep gave this process; empty outside a sweep.

    Returns:
        One entry per variable `EXPMAN_PARAM_NAME`. The key is the name in lower case. The value
        is an int or a float if the text is one, otherwise the text.
    """
    return {
        key[len(_PREFIX) :].lower(): _value(text)
        for key, text in os.environ.items()
        if key.startswith(_PREFIX) and key != _PREFIX
    }


def sweep_name() -> str | None:
    """The name of the sweep that this process belongs to (`EXPMAN_SWEEP`); None outside one."""
    return os.environ.get("EXPMAN_SWEEP") or None


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
