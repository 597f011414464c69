"""Samples of the machine: what they are made of, on made-up files and on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from lanes import make_hello

from expman.transport import records
from expman.transport.identity import this_program
from expman.writer.samplers.cgroup import Cgroup
from expman.writer.samplers.host import HostLoad
from expman.writer.samplers.machine import MachineSampler
from expman.writer.samplers.process_tree import ProcessTree, find_process, processes_below
from expman.writer.samplers.procfs import Rates
from expman.writer.samplers.samples import MachineSample

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "print('up', flush=True); input()"],
                         stdin=subprocess.PIPE)
input()
child.communicate(b"\\n")
"""
OF_EXPMAN_RS = {"cpu.util_pct", "mem.used_gb", "mem.total_gb", "mem.util_pct", "proc.rss_gb"}


def lay(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def family() -> Iterator[subprocess.Popen[bytes]]:
    """A process with one child."""
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b"up\n" == process.stdout.readline()
        yield process
        process.communicate(b"\n")


def test_rates_are_those_since_the_last_look() -> None:
    """A counter that is new, or began anew, has none."""
    now = 10.0
    rates = Rates(clock=lambda: now)
    assert [] == list(rates.per_second({"a": 5}))
    now = 12.0
    assert [("a", 10.0)] == list(rates.per_second({"a": 25, "b": 1}))
    now = 13.0
    assert [("b", 3.0)] == list(rates.per_second({"a": 0, "b": 4}))
    assert [] == list(rates.per_second({"a": 3}))  # no time has passed since


def test_the_load_of_a_host(tmp_path: Path) -> None:
    """Names and units are those of expman-rs where it has the value."""
    proc, system = tmp_path / "proc", tmp_path / "sys"
    for disk in ("sda", "loop0", "dm-0"):
        (system / "block" / disk).mkdir(parents=True)
    lay(
        proc,
        {
            "stat": "cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3\n",
            "loadavg": "0.50 0.40 0.30 1/100 1234\n",
            "meminfo": "MemTotal: 4194304 kB\nMemAvailable: 1048576 kB\nSwapTotal: 2097152 kB\n"
            "SwapFree: 1048576 kB\n",
            "pressure/memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
        },
    )
    host = HostLoad(7, str(tmp_path), str(proc), str(system))
    found = host.read()
    assert "cpu.util_pct" not in found, "there is nothing to compare with yet"
    expected = {
        "cpu.load_1min": 0.5,
        "mem.used_gb": 3.0,
        "mem.total_gb": 4.0,
        "mem.util_pct": 75.0,
        "swap.used_gb": 1.0,
    }
    assert expected == {name: found[name] for name in expected}
    lay(proc, {"stat": "cpu  130 0 120 720 130 0 0 0 0 0\n"})
    found = host.read()
    assert (50.0, 30.0) == (found["cpu.util_pct"], found["cpu.iowait_pct"])


def test_the_limits_of_a_cgroup(tmp_path: Path) -> None:
    """Version 2: the least limit of the process's own cgroup and of those above holds."""
    lay(tmp_path, {"proc/7/cgroup": "0::/job/step\n"})
    lay(
        tmp_path / "cg",
        {
            "cgroup.controllers": "cpu memory\n",
            "job/memory.max": f"{2 * 2**30}\n",
            "job/cpu.max": "150000 100000\n",
            "job/step/memory.max": "max\n",
            "job/step/cpu.max": "max 100000\n",
            "job/step/memory.current": f"{2**30}\n",
            "job/step/memory.events": "low 0\noom 2\noom_kill 1\n",
            "job/step/pids.max": "512\n",
        },
    )
    cgroup = Cgroup(7, str(tmp_path / "proc"), str(tmp_path / "cg"))
    assert {"mem_limit_gb": 2.0, "cpu_limit": 1.5, "pids_limit": 512} == cgroup.limits()
    found = cgroup.read()
    assert (1.0, 2.0) == (found["cgroup.mem_used_gb"], found["cgroup.mem_limit_gb"])
    assert 1 == found["cgroup.oom_kills"]


def test_the_limits_of_a_cgroup_of_version_1(tmp_path: Path) -> None:
    """Each controller has a tree of its own; a huge number is no limit, and neither is -1."""
    lay(tmp_path, {"proc/7/cgroup": "5:memory:/job\n3:cpu,cpuacct:/job\n1:name=systemd:/\n0::/\n"})
    lay(
        tmp_path / "cg",
        {
            "memory/memory.limit_in_bytes": "9223372036854771712\n",
            "memory/job/memory.limit_in_bytes": f"{2**30}\n",
            "memory/job/memory.usage_in_bytes": f"{2**29}\n",
            "cpu,cpuacct/job/cpu.cfs_quota_us": "50000\n",
            "cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
            "cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
    )
    cgroup = Cgroup(7, str(tmp_path / "proc"), str(tmp_path / "cg"))
    assert {"mem_limit_gb": 1.0, "cpu_limit": 0.5} == cgroup.limits()
    assert 0.5 == cgroup.read()["cgroup.mem_used_gb"]


def test_a_process_without_a_cgroup(tmp_path: Path) -> None:
    """Nothing is known, and nothing fails."""
    assert {} == Cgroup(7, str(tmp_path), str(tmp_path)).read()


def test_a_process_and_its_children(family: subprocess.Popen[bytes]) -> None:
    """The sum has the child, too; rates come with the second look."""
    tree = ProcessTree(family.pid)
    first = tree.read()
    assert 2 == first["tree.processes"] == len(tree.pids())
    assert first["proc.rss_gb"] < first["tree.rss_gb"]
    assert 0 < first["tree.uss_gb"] < first["tree.rss_gb"]
    assert first["proc.peak_rss_gb"] >= first["proc.rss_gb"]
    assert first["tree.open_files"] > first["proc.open_files"] > 2
    assert {"proc.cpu_pct", "tree.cpu_pct", "tree.read_mb_s"} <= tree.read().keys()


def test_a_branch_is_left_out(family: subprocess.Popen[bytes]) -> None:
    """The writer is a child of the process that it watches, and belongs to nobody's tree."""
    own = os.getpid()
    below = set(processes_below(own))
    assert {own, family.pid} <= below
    assert not below & set(processes_below(own, without=own))
    assert family.pid not in processes_below(own, without=family.pid)


def test_a_pid_that_is_used_again(family: subprocess.Popen[bytes]) -> None:
    """A process that began after the run did is not the run's, nor is one of another begin."""
    assert family.pid == find_process(family.pid, 0, time.time_ns())
    assert 0 == find_process(family.pid, 0, time.time_ns() - 3600 * 10**9)
    assert 0 == find_process(family.pid, 1, time.time_ns())
    assert os.getpid() == find_process(os.getpid(), this_program().began_ticks, 0)


def test_a_process_of_another_namespace(tmp_path: Path) -> None:
    """It is found by its begin and its pid there: a container's, whose writer is outside."""
    for pid, began, inner in ((7, 50, "7"), (300, 90, "300\t7"), (301, 90, "301\t8")):
        fields = " ".join(["S", *["0"] * 18, str(began), *["0"] * 10])
        texts = {"stat": f"{pid} (python) {fields}", "status": f"NSpid:\t{inner}"}
        lay(tmp_path / str(pid), texts)
    assert 300 == find_process(7, 90, 0, str(tmp_path))
    assert 7 == find_process(7, 50, 0, str(tmp_path))
    assert 0 == find_process(9, 90, 0, str(tmp_path))


def test_a_process_that_is_gone() -> None:
    """It has no sample."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        tree = ProcessTree(process.pid)
        assert "proc.rss_gb" in tree.read()
        process.communicate(b"\n")
    assert {} == tree.read() == ProcessTree(0).read()


def test_a_sample_of_this_machine(tmp_path: Path) -> None:
    """All columns of expman-rs are there, and all values are numbers."""
    hello = make_hello(pid=os.getpid(), started_at_ns=time.time_ns(), base_dir=str(tmp_path))
    sampler = MachineSampler(hello)
    found: dict[str, float] = {}
    deadline = time.monotonic() + 120
    while OF_EXPMAN_RS - found.keys():  # rates need a tick of the clock
        assert time.monotonic() < deadline, OF_EXPMAN_RS - found.keys()
        (sample,) = [one for one in sampler.sample() if not isinstance(one, records.Log)]
        assert isinstance(sample, MachineSample)
        found |= sample.values
    assert {int, float} >= {type(value) for value in found.values()}


def test_without_psutil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says what is missing and what to install; the rest is sampled all the same."""
    monkeypatch.setitem(sys.modules, "psutil", None)
    hello = make_hello(pid=os.getpid(), started_at_ns=time.time_ns(), base_dir=str(tmp_path))
    sampler = MachineSampler(hello)
    line, sample = sampler.sample()
    assert "pip install 'expman-sidecar[system]'" in line.message
    assert "mem.used_gb" in sample.values
    assert [MachineSample] == [type(found) for found in sampler.sample()]
    run_dir = Path(hello.run_dir)  # a successor, and a later attempt, do not say it again
    run_dir.mkdir(parents=True)
    (run_dir / "run.log").write_text(f"2026-01-31 INFO {line.message}\n")
    assert [MachineSample] == [type(found) for found in MachineSampler(hello).sample()]


def test_how_often(tmp_path: Path) -> None:
    """As the run was started with; without a word, never."""
    assert 0 == MachineSampler.spacing_for(make_hello())
    assert 7 == MachineSampler.spacing_for(make_hello(system_metrics_interval_secs=7))
