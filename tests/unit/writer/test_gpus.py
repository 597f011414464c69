"""GPUs by NVML, against a library that speaks its C interface."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lanes import make_hello

from expman.writer.samplers import gpus as gpus_module
from expman.writer.samplers.gpus import Gpus
from expman.writer.samplers.machine import MachineSampler
from expman.writer.samplers.samples import MachineSample

SOURCE = Path(__file__).parents[2] / "programs" / "fake_nvml.c"
COMPILER = shutil.which("gcc") or shutil.which("cc")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The fake library, compiled."""
    if COMPILER is None:
        pytest.skip("needs a C compiler")
    path = str(tmp_path_factory.mktemp("nvml") / "libnvidia-ml.so.1")
    command = [COMPILER, "-shared", "-fPIC", "-w", "-o", path, str(SOURCE)]
    subprocess.run(command, check=True)
    return path


@pytest.fixture
def nvml(library: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The fake library, in the place of the real one."""
    pynvml = pytest.importorskip("pynvml")
    fake = ctypes.CDLL(library)
    fake.fake_xid.argtypes = [ctypes.c_ulonglong]
    monkeypatch.setattr(pynvml, "nvmlLib", fake)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    yield fake
    for switch in (fake.fake_hang, fake.fake_lose, fake.fake_fail):
        switch(0)


def test_what_is_read(nvml: Any) -> None:
    """Names and units are those of expman-rs; what a GPU does not support is absent."""
    found = Gpus().read(pids=[os.getpid()])
    expected = {
        "gpu.0.util_pct": 70,
        "gpu.0.mem_util_pct": 30,
        "gpu.0.mem_used_mb": 10240.0,
        "gpu.0.mem_total_mb": 81920.0,
        "gpu.0.temp_c": 55,
        "gpu.0.power_w": 300.5,
        "gpu.0.power_limit_w": 700.0,
        "gpu.0.sm_clock_mhz": 1980,
        "gpu.0.mem_clock_mhz": 2619,
        "gpu.0.throttle_reasons": 4,
        "gpu.0.tree_mem_used_mb": 5120.0,
        "gpu.1.util_pct": 71,
    }
    assert expected == {name: found[name] for name in expected}
    assert "gpu.0.ecc_uncorrected" not in found
    assert "gpu.1.tree_mem_used_mb" not in found


def test_a_gpu_that_is_lost(nvml: Any) -> None:
    """The other one goes on, and one line says which is lost."""
    gpus = Gpus()
    nvml.fake_lose(1)
    for _ in range(2):
        found = gpus.read()
        assert "gpu.0.util_pct" in found
        assert "gpu.1.util_pct" not in found
    assert ["GPU 1 is lost: it does not answer any more"] == gpus.lines()


def test_an_error(nvml: Any) -> None:
    """It costs the value, and one line for each GPU names the question."""
    gpus = Gpus()
    nvml.fake_fail(1)
    for _ in range(2):
        assert {"gpu.0.power_w", "gpu.1.power_w"} & gpus.read().keys() == set()
    lines = [f"GPU {number} gives no PowerUsage: Unknown Error" for number in (0, 1)]
    assert lines == gpus.lines()


def test_a_library_that_hangs(nvml: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples go on without GPUs, no second call is begun, and it may come back."""
    monkeypatch.setattr(gpus_module, "TIMEOUT_S", 0.05)
    gpus = Gpus()
    nvml.fake_hang(1)
    assert {} == gpus.read() == gpus.read()
    assert ["NVML has not answered for 0.05 s: until it does, samples are without GPUs"] == (
        gpus.lines()
    )
    nvml.fake_hang(0)
    monkeypatch.setattr(gpus_module, "TIMEOUT_S", 60.0)
    assert "gpu.0.util_pct" in gpus.read()
    assert ["NVML answers again"] == gpus.lines()


def test_an_error_of_the_gpu(nvml: Any) -> None:
    """An Xid is a line of run.log and a value of that sample only."""
    gpus = Gpus()
    assert "gpu.1.xid" not in gpus.read()
    nvml.fake_xid(79)
    assert 79 == gpus.read()["gpu.1.xid"]
    assert "gpu.1.xid" not in gpus.read()
    assert ["GPU 1 reported Xid 79: an error of the GPU"] == gpus.lines()


def test_what_they_are(nvml: Any) -> None:
    """For the provenance."""
    found = Gpus().describe()
    assert ("550.54", "12.4") == (found["gpu_driver"], found["cuda"])
    expected = {"index": 1, "name": "Fake 1", "uuid": "GPU-1", "memory_mb": 81920.0}
    assert expected == found["gpus"][1]  # type: ignore[index]


def test_a_hanging_library_and_the_rest_of_a_sample(
    nvml: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Host and processes are sampled all the same."""
    monkeypatch.setattr(gpus_module, "TIMEOUT_S", 0.05)
    nvml.fake_hang(1)
    hello = make_hello(pid=os.getpid(), started_at_ns=time.time_ns(), base_dir=str(tmp_path))
    sample, *lines = MachineSampler(hello).sample()
    assert isinstance(sample, MachineSample)
    assert {"mem.used_gb", "tree.rss_gb"} <= sample.values.keys()
    assert 1 == len(lines)


def test_a_host_without_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to read, and nothing to say."""
    pynvml = pytest.importorskip("pynvml")
    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "CDLL", _no_library)
    gpus = Gpus()
    assert ({}, {}, []) == (gpus.read(), gpus.describe(), gpus.lines())


def _no_library(name: str) -> None:
    raise OSError(f"{name}: cannot open shared object file")


def test_gpus_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the driver is loaded, one line says what to install."""
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert [] == Gpus(str(tmp_path)).lines()
    (tmp_path / "driver" / "nvidia").mkdir(parents=True)
    (tmp_path / "driver" / "nvidia" / "version").write_text("NVRM version: 550\n")
    (line,) = Gpus(str(tmp_path)).lines()
    assert "pip install 'expman-sidecar[gpu]'" in line
