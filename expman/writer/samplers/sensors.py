"""Frequency and temperature of the processors, by psutil where that is installed."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["Sensors"]

_OF_CPUS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "acpitz")
_LACK = (
    "no frequency and temperature of the processors without psutil: pip install "
    "'expman-sidecar[system]'"
)


class Sensors:
    """The sensors of the host.

    Attributes:
        lack: what is not recorded, and what to install; None if nothing is lacking.
    """

    def __init__(self) -> None:
        self.lack: str | None = None
        try:
            self._psutil: Any = importlib.import_module("psutil")
        except ImportError:
            self._psutil, self.lack = None, _LACK

    def read(self) -> dict[str, float]:
        """Present values of those sensors that the machine has."""
        found: dict[str, float] = {}
        if self._psutil is None:
            return found
        # psutil's errors depend on the machine: a sensor that goes away, a file that is odd.
        try:
            frequency = self._psutil.cpu_freq()
            if frequency is not None and frequency.current:
                found["cpu.freq_mhz"] = frequency.current
            sensors = self._psutil.sensors_temperatures()
            hottest = [
                reading.current
                for name in _OF_CPUS
                for reading in sensors.get(name, ())
                if reading.current
            ]
            if hottest:
                found["cpu.temp_c"] = max(hottest)
        except (OSError, ValueError, RuntimeError, AttributeError, NotImplementedError):
            return found
        return found
