"""Makes trackio/: a project's tables as SQL, its media and the files of its artifacts.

Run with an environment that has trackio, pandas and Pillow. The committed ones were made with
trackio 0.43.0.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

HERE = Path(__file__).parent / "trackio"
os.environ["TRACKIO_DIR"] = os.path.abspath("store")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import trackio  # noqa: E402

run = trackio.init(project="digits", name="run/one", config={"lr": 0.1, "n": {"a": 1}}, group="g")
for step in range(4):
    row = {"loss": 1 / (step + 1), "nested": {"x": step}, "t": "text", "odd": float("nan")}
    trackio.log(row, step=step)
trackio.log({"img": trackio.Image(np.zeros((4, 4, 3), np.uint8))}, step=4)
trackio.log({"table": trackio.Table(dataframe=pd.DataFrame({"a": [1, 2]}))}, step=4)
trackio.log({"h": trackio.Histogram([1, 2, 2], num_bins=4), "md": trackio.Markdown("# x")}, step=5)
trackio.log({"list": [1, 2], "inf": float("-inf")}, step=5)
trackio.log_system({"cpu": 3.0})
trackio.alert("title", "text")
artifact = trackio.Artifact("model", type="model")
Path("w.txt").write_text("weights")
artifact.add_file("w.txt")
run.log_artifact(artifact)
trackio.finish()
trackio.init(project="digits", name="run/one", config={})
trackio.log({"loss": 7})
trackio.finish()

shutil.rmtree(HERE, ignore_errors=True)
HERE.mkdir()
for name in ("media", "artifacts"):
    shutil.copytree(Path("store") / name, HERE / name)
database = sqlite3.connect("store/digits.db")
(HERE / "digits.sql").write_text("\n".join(database.iterdump()) + "\n")
