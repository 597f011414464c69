"""NVIDIA GPUs, by NVML (the NVIDIA Management Library), where its Python package is installed."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Collection, Iterator
from typing import Any

from expman.writer.samplers.bounded import BoundedCall
from expman.writer.samplers.procfs import MIB

__all__ = ["Gpus"]

TIMEOUT_S = 3.0
MOST_EVENTS = 64
_LACK = (
    "there is an NVIDIA GPU, but its values are not recorded; install what reads them with: "
    "pip install 'expman-sidecar[gpu]'"
)
_HANGS = "NVML has not answered for {:g} s: until it does, samples are without GPUs"
_ANSWERS = "NVML answers again"
_DRIVER = "driver/nvidia/version"
# nvmlEventTypeXidCriticalError, nvmlMemoryErrorType and nvmlEccCounterType of nvml.h.
_XID = 8
_UNCORRECTED, _SINCE_BOOT = 1, 0
_CORE, _SM, _MEMORY = 0, 1, 2


class Gpus:
    """The GPUs of this host. A library that hangs or fails costs their columns only.

    Args:
        proc: where /proc is.
    """

    def __init__(self, proc: str = "/proc") -> None:
        self._nvml: Any = None
        self._handles: list[Any] = []
        self._events: Any = None
        self._pids: Collection[int] = ()
        self._lines: list[str] = []
        self._said: set[str] = set()
        self._read = BoundedCall(self._read_all)
        self._is_slow = False
        try:
            self._nvml = importlib.import_module("pynvml")
        except ImportError:
            if os.path.exists(f"{proc}/{_DRIVER}"):
                self._say(_LACK)

    def lines(self) -> list[str]:
        """Lines for run.log since the last call; one per subject."""
        lines, self._lines = self._lines, []
        return lines

    def read(self, pids: Collection[int] = ()) -> dict[str, float]:
        """The values of now.

        Args:
            pids: whose memory is added up, for `gpu.N.tree_mem_used_mb`.
        """
        if self._nvml is None:
            return {}
        if not self._read.hangs:
            self._pids = pids
        found = self._read.call(TIMEOUT_S)
        if self._read.hangs and not self._is_slow:
            self._say(_HANGS.format(TIMEOUT_S))
        elif self._is_slow and not self._read.hangs:
            self._say(_ANSWERS)
        self._is_slow = self._read.hangs
        return found or {}

    def _say(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self._lines.append(line)

    # -- in a thread that may hang ----------------------------------------------------------

    def _read_all(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for number, handle in enumerate(self._open()):
            for name, value in self._values(number, handle):
                found[f"gpu.{number}.{name}"] = value
        for number, xid in self._xids():
            found[f"gpu.{number}.xid"] = xid
            self._lines.append(f"GPU {number} reported Xid {xid}: an error of the GPU")
        return found

    def _open(self) -> list[Any]:
        """The GPUs; none where there is no library, no driver or no device."""
        nvml = self._nvml
        if not self._handles:
            try:
                nvml.nvmlInit()
                count = nvml.nvmlDeviceGetCount()
                self._handles = [nvml.nvmlDeviceGetHandleByIndex(n) for n in range(count)]
                self._watch()
            except nvml.NVMLError as exc:
                unknown = (nvml.NVML_ERROR_LIBRARY_NOT_FOUND, nvml.NVML_ERROR_DRIVER_NOT_LOADED)
                if exc.value not in unknown:
                    self._say(f"NVML cannot be used: {exc}")
        return self._handles

    def _watch(self) -> None:
        """Has the driver report errors of the GPUs; not each GPU can."""
        nvml = self._nvml
        try:
            self._events = nvml.nvmlEventSetCreate()
            for handle in self._handles:
                nvml.nvmlDeviceRegisterEvents(handle, _XID, self._events)
        except nvml.NVMLError:
            self._events = None

    def _values(self, number: int, handle: Any) -> Iterator[tuple[str, float]]:
        nvml = self._nvml
        yield from self._ask(number, nvml.nvmlDeviceGetUtilizationRates, handle, then=_load)
        yield from self._ask(number, nvml.nvmlDeviceGetMemoryInfo, handle, then=_memory)
        for name, scale, question, arguments in (
            ("temp_c", 1, nvml.nvmlDeviceGetTemperature, (_CORE,)),
            ("power_w", 1000, nvml.nvmlDeviceGetPowerUsage, ()),
            ("power_limit_w", 1000, nvml.nvmlDeviceGetEnforcedPowerLimit, ()),
            ("sm_clock_mhz", 1, nvml.nvmlDeviceGetClockInfo, (_SM,)),
            ("mem_clock_mhz", 1, nvml.nvmlDeviceGetClockInfo, (_MEMORY,)),
            (
                *("ecc_uncorrected", 1, nvml.nvmlDeviceGetTotalEccErrors),
                (_UNCORRECTED, _SINCE_BOOT),
            ),
            ("throttle_reasons", 1, nvml.nvmlDeviceGetCurrentClocksThrottleReasons, ()),
        ):
            for value in self._ask(number, question, handle, *arguments, then=_alone):
                yield name, value / scale
        yield from self._ask(
            number, nvml.nvmlDeviceGetComputeRunningProcesses, handle, then=self._of_tree
        )

    def _ask(
        self, number: int, question: Any, *arguments: Any, then: Callable[[Any], Iterator[Any]]
    ) -> Iterator[Any]:
        """What is in the answer; nothing if the GPU does not know it, or gives none."""
        nvml = self._nvml
        try:
            answer = question(*arguments)
        except nvml.NVMLError as exc:
            if exc.value == nvml.NVML_ERROR_GPU_IS_LOST:
                self._say(f"GPU {number} is lost: it does not answer any more")
            elif exc.value in (nvml.NVML_ERROR_UNINITIALIZED, nvml.NVML_ERROR_DRIVER_NOT_LOADED):
                self._handles = []  # the driver was loaded anew: the next sample begins again
            elif exc.value not in (
                nvml.NVML_ERROR_NOT_SUPPORTED,
                nvml.NVML_ERROR_FUNCTION_NOT_FOUND,
                nvml.NVML_ERROR_NO_PERMISSION,
            ):
                what = question.__name__.removeprefix("nvmlDeviceGet")
                self._say(f"GPU {number} gives no {what}: {exc}")
            return
        yield from then(answer)

    def _of_tree(self, processes: Any) -> Iterator[tuple[str, float]]:
        """The memory that the run's processes have, if one of them uses the GPU."""
        used = [p.usedGpuMemory or 0 for p in processes if p.pid in self._pids]
        if used:
            yield "tree_mem_used_mb", sum(used) / MIB

    def _xids(self) -> Iterator[tuple[int, int]]:
        """Errors of GPUs since the last look."""
        nvml = self._nvml
        for _ in range(MOST_EVENTS if self._events is not None else 0):
            try:
                event = nvml.nvmlEventSetWait_v2(self._events, 0)
                yield nvml.nvmlDeviceGetIndex(event.device), event.eventData
            except nvml.NVMLError:  # most often: there is none
                return

    # -- once -------------------------------------------------------------------------------

    def describe(self) -> dict[str, object]:
        """The GPUs and their driver, for the provenance; empty where there is none."""
        if self._nvml is None:
            return {}
        return BoundedCall(self._describe_all).call(TIMEOUT_S) or {}

    def _describe_all(self) -> dict[str, object]:
        nvml = self._nvml
        gpus = []
        for number, handle in enumerate(self._open()):
            gpu: dict[str, object] = {"index": number}
            for name, question, then in (
                ("name", nvml.nvmlDeviceGetName, _text),
                ("uuid", nvml.nvmlDeviceGetUUID, _text),
                ("memory_mb", nvml.nvmlDeviceGetMemoryInfo, _total_mb),
            ):
                for value in self._ask(number, question, handle, then=then):
                    gpu[name] = value
            gpus.append(gpu)
        if not gpus:
            return {}
        found: dict[str, object] = {"gpus": gpus}
        for text in self._ask(0, nvml.nvmlSystemGetDriverVersion, then=_text):
            found["gpu_driver"] = text
        for version in self._ask(0, nvml.nvmlSystemGetCudaDriverVersion, then=_alone):
            found["cuda"] = f"{version // 1000}.{version % 1000 // 10}"
        return found


def _alone(answer: Any) -> Iterator[Any]:
    yield answer


def _load(rates: Any) -> Iterator[tuple[str, float]]:
    yield "util_pct", rates.gpu
    yield "mem_util_pct", rates.memory


def _memory(memory: Any) -> Iterator[tuple[str, float]]:
    yield "mem_used_mb", memory.used / MIB
    yield "mem_total_mb", memory.total / MIB


def _text(answer: Any) -> Iterator[str]:
    yield answer.decode("utf-8", "replace") if isinstance(answer, bytes) else str(answer)


def _total_mb(memory: Any) -> Iterator[float]:
    yield memory.total / MIB
