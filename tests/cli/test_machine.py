"""What was recorded unasked, as the command shows it: the machine, and what a run was."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from cli.conftest import Expman

import expman
from expman.storage.paths import SYSTEM
from expman.storage.provenance import write_provenance
from expman.storage.vectors import RowBlock, VectorStore

SECOND_NS = 10**9


def make_run(base: Path, name: str, **provenance: object) -> Path:
    config = expman.ExperimentConfig("digits", base, run_name=name)
    with expman.LoggingEngine(config) as engine:
        engine.log_vector({"loss": 1.0}, 0)
    if provenance:
        write_provenance(engine.run_dir, provenance)
    return Path(engine.run_dir)


def add_samples(run_dir: Path, columns: Mapping[str, list[float]]) -> None:
    """Samples a minute apart."""
    store = VectorStore(str(run_dir), SYSTEM)
    rows = len(next(iter(columns.values())))
    times = [n * 60 * SECOND_NS for n in range(rows)]
    store.append(RowBlock("system", 0, range(rows), times, tuple(columns), list(columns.values())))
    store.finish()
    store.close()


@pytest.fixture
def run(run_base: Path) -> Path:
    """A run with samples of two GPUs and with a provenance."""
    run_dir = make_run(
        run_base,
        "one",
        git={"commit": "0123456789abcdef", "branch": "main", "dirty": True},
        command="python train.py --lr 1",
        hostname="node-7",
        host={"cpus": 16, "memory_gb": 64.0},
        gpus=[{"index": 0, "name": "H100"}, {"index": 1, "name": "H100"}],
        packages={"torch": "2.4.0", "numpy": "2.0.0"},
    )
    columns = {"tree.rss_gb": [1.0, 3.5, 2.0], "tree.cpu_pct": [50.0, 100.0, 150.0]}
    for gpu in (0, 1):
        columns[f"gpu.{gpu}.util_pct"] = [80.0, 90.0, 100.0]
        columns[f"gpu.{gpu}.mem_used_mb"] = [1024.0, 10240.0, 5120.0]
        columns[f"gpu.{gpu}.mem_total_mb"] = [81920.0] * 3
    add_samples(run_dir, columns)
    return run_dir


def test_a_few_lines_of_show(expman_command: Expman, run: Path) -> None:
    """The commit, the command and the host; most memory, mean load, each GPU."""
    shown = " ".join(expman_command("show", run).out.split())
    for text in (
        "commit 0123456789 on main, with changes",
        "command python train.py --lr 1",
        "host node-7, 16 processors, 64 GiB, 2 × H100",
        "machine memory up to 3.5 GiB, processors 100 %",
        "0: 90 %, memory up to 10 GiB of 80 GiB; 1: 90 %,",
    ):
        assert text in shown


def test_plots_of_the_machine(expman_command: Expman, run: Path) -> None:
    """Processors, memory and GPUs over minutes; all GPUs are in one chart."""
    found = expman_command("plot", run, "--system")
    for title in ("tree.cpu_pct", "tree.rss_gb", "gpu.*.util_pct", "gpu.*.mem_used_mb"):
        assert title in found.out
    assert 4 == found.out.count("minutes")


def test_chosen_columns(expman_command: Expman, run: Path) -> None:
    """By name or by pattern; one that is not there is answered with what may be meant."""
    found = expman_command("plot", run, "--system", "tree.rss_gb")
    assert ("tree.rss_gb" in found.out, "gpu" in found.out) == (True, False)
    found = expman_command("plot", run, "--system", "tree.rss")
    assert (2, True) == (found.code, "METRIC tree.rss: " in found.err)
    assert "did you mean 'tree.rss_gb'?" in " ".join(found.err.split())


def test_a_run_without_samples(expman_command: Expman, run_base: Path) -> None:
    """There is nothing to plot, which is said."""
    found = expman_command("plot", make_run(run_base, "bare"), "--system")
    assert (1, True) == (found.code, "has no samples of the machine" in found.err)


def test_what_differs(expman_command: Expman, run: Path, run_base: Path) -> None:
    """Commits and packages; what is equal, or was not recorded for a run, is left out."""
    other = make_run(
        run_base,
        "two",
        git={"commit": "fedcba9876543210", "branch": "main", "dirty": True},
        packages={"torch": "2.5.0", "numpy": "2.0.0", "einops": "0.8"},
    )
    bare = make_run(run_base, "three")
    found = json.loads(expman_command("compare", "--json", run, other, bare).out)["provenance"]
    expected = {
        "commit": ["0123456789abcdef", "fedcba9876543210", None],
        "package torch": ["2.4.0", "2.5.0", None],
        "package einops": [None, "0.8", None],
    }
    assert expected == found
    shown = expman_command("compare", run, other).out
    assert "provenance that differs" in shown
    assert "2.5.0" in shown


def test_a_provenance_that_is_damaged(expman_command: Expman, run: Path) -> None:
    """The rest of the run is shown, and the file is named."""
    (run / "provenance.yaml").write_text("{")
    shown = " ".join(expman_command("show", run).out.split())
    assert "machine" in shown
    assert "is not valid YAML" in shown


def test_doctor_says_what_can_be_recorded(
    expman_command: Expman, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part has a line; for what is missing, one that says what to install."""
    subjects = {"machine", "GPUs", "cgroup", "git", "pictures", "stacks", "terminal"}
    found = json.loads(expman_command("doctor", "--no-trial", "--json").out)
    assert set() == subjects - {one["subject"] for one in found}
    monkeypatch.setitem(sys.modules, "psutil", None)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("expman.cli.doctor_recording.find_spec", lambda name: None)
    found = json.loads(expman_command("doctor", "--no-trial", "--json").out)
    advice = {one["subject"]: one["advice"] for one in found if one["level"] == "note"}
    assert "pip install 'expman-sidecar[system]'" == advice["machine"]
    assert "install git" in advice["git"]


def test_the_first_value_that_is_not_finite(expman_command: Expman, run_base: Path) -> None:
    """It has a line: which metric, and from which step on."""
    config = expman.ExperimentConfig("digits", run_base, run_name="odd")
    with expman.LoggingEngine(config) as engine:
        for step in range(10):
            engine.log_vector({"loss": float("nan") if step > 6 else 1.0, "lr": 0.1}, step)
    shown = " ".join(expman_command("show", engine.run_dir).out.split())
    assert "not finite loss is nan at step 7" in shown
