"""attach(): joins a run of another process."""

from __future__ import annotations

import os

from expman.engine import LoggingEngine
from expman.errors import ConfigError

__all__ = ["RUN_VARIABLE", "attach"]

RUN_VARIABLE = "EXPMAN_RUN"


def attach(address: str | None = None) -> LoggingEngine:
    """Joins a run of another process as a worker; never creates one.

    Args:
        address: the `address` of the run's engine; the variable EXPMAN_RUN if left out.

    Returns:
        An engine whose rows go into that run. In a process that has the engine already, a
        forked child or the owner itself, that one.

    Raises:
        ConfigError: it is not an address, or there is none.
        RunEndedError: the run has ended.
        LayoutVersionError: the run belongs to another version of expman.
    """
    text = address if address is not None else os.environ.get(RUN_VARIABLE)
    if not isinstance(text, str) or not text:
        raise ConfigError(
            "address", text, f"pass the `address` of an engine, or set {RUN_VARIABLE} to it"
        )
    return LoggingEngine._attach(text)
