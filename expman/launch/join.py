"""Joins a run of another process: claims nothing yet, the first record does."""

from __future__ import annotations

import msgspec

from expman.errors import ConfigError, RunEndedError, SharedMemoryError
from expman.models import ExperimentConfig
from expman.transport import segment, settings
from expman.transport.gate import RunGate
from expman.transport.producer import LaneProducer

__all__ = ["join"]


def join(address: str, *, as_relay: bool = False) -> tuple[ExperimentConfig, LaneProducer, int]:
    """The configuration of the run at an engine's address, a lane into it, its owner's lane.

    Args:
        address: the engine's.
        as_relay: what is logged is what the owner's program prints, not this process.

    Raises:
        ConfigError: it is not an address.
        RunEndedError: the run has ended.
        SharedMemoryError: its memory cannot be opened, or belongs to another user.
    """
    text, mark, number = address.rpartition("#")
    if not mark or not number.isdigit():
        raise ConfigError("address", address, "must be the `address` of an engine")
    door = segment.Address.parse(text)
    try:
        gate = RunGate.attach(door, int(number))
    except FileNotFoundError:
        raise RunEndedError(address) from None
    except OSError as exc:
        raise SharedMemoryError(0, [f"{door}: {exc.strerror}"]) from exc
    if gate.closing:
        raise RunEndedError(address)
    hello = msgspec.structs.replace(gate.hello, role="relay") if as_relay else gate.hello
    lane = LaneProducer(door, hello, gate=gate)
    return settings.config_of(gate.hello), lane, int(number)
