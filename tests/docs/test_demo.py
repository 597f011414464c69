"""The demo, cut short: it trains, its files hold what it logged, its pictures are pictures."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

import expman

DEMO = Path(__file__).resolve().parents[2] / "scripts" / "demo_train.py"
EXPMAN = Path(sys.executable).with_name("expman")
EPOCHS = 2
BATCHES = 43  # 1,347 digits to train with, 32 at a time
PNG = b"\x89PNG\r\n\x1a\n"

# Importing scikit-learn takes each process of the session a second.
if not all(map(find_spec, ("sklearn", "matplotlib"))):
    pytest.skip("needs the extra demo", allow_module_level=True)


def test_demo_leaves_a_finished_run(tmp_path: Path, run_base: Path) -> None:
    """The demo ends well, and its run has every row, the parameters, the model and the pictures."""
    picture = tmp_path / "curve.png"
    command = [sys.executable, DEMO, "--epochs", str(EPOCHS), "--base-dir", run_base]

    done = subprocess.run(
        [*command, "--out", picture],
        env={**os.environ, "MPLCONFIGDIR": str(tmp_path / "matplotlib")},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = (path for path in (run_base / "digits").iterdir() if path.is_dir())
    assert str(run) in done.stdout
    assert yaml.safe_load((run / "run.yaml").read_text())["status"] == "FINISHED"
    assert yaml.safe_load((run / "config.yaml").read_text())["epochs"] == EPOCHS
    rows = pq.read_table(run / "vectors.parquet", columns=["loss", "test/accuracy"])
    assert EPOCHS * (BATCHES + 1) == rows.num_rows
    assert EPOCHS * BATCHES == rows.num_rows - rows["loss"].null_count
    assert EPOCHS == rows.num_rows - rows["test/accuracy"].null_count
    kinds = [item.kind for item in expman.Run(run).media()]
    assert sorted(["confusion_matrix", "image", "table"]) == sorted(kinds)
    weights = np.load(run / "artifacts" / "model.npz")
    assert EPOCHS * len(weights) == len(expman.Run(run).histograms())
    assert {"model.npz", "confusion_matrix.png"} == {p.name for p in (run / "artifacts").iterdir()}
    assert {"console.log", "provenance.yaml", "system.parquet"} <= {p.name for p in run.iterdir()}
    assert "printed last" in done.stdout
    steps = [shlex.split(line) for line in done.stdout.partition("Try next:")[2].splitlines()[1::2]]
    assert ["ui", "plot", "why"] == [words[1] for words in steps]
    for command, *words in steps[1:]:  # the command of this environment, with these paths
        assert "expman" == command or os.path.samefile(tmp_path / command, EXPMAN)
        tried = subprocess.run(
            [sys.executable, "-m", "expman.cli", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert (0, "") == (tried.returncode, tried.stderr)
        assert "test/accuracy" in tried.stdout or run.name in tried.stdout
    assert os.path.samefile(run_base, tmp_path / steps[0][2])
    assert PNG == picture.read_bytes()[:8]
    assert PNG == (run / "artifacts" / "confusion_matrix.png").read_bytes()[:8]
