"""Makes wandb/: a run as wandb writes it in offline mode, and one that was killed.

Run with an environment that has wandb, numpy and Pillow, in a directory that the files may name.
The committed ones were made with wandb 0.31.0.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
import wave
from pathlib import Path

HERE = Path(__file__).parent / "wandb"
os.environ |= {
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "WANDB_DATA_DIR": os.path.abspath("data"),
    "WANDB_DISABLE_CODE": "true",
    "WANDB_DISABLE_GIT": "true",
}


def train(is_killed: bool) -> None:
    """Logs a little of everything."""
    import numpy as np
    import wandb

    run = wandb.init(
        project="digits",
        id="killed00" if is_killed else "complete",
        name="first/try",
        config={"lr": 0.1, "model": {"layers": [64, 32]}},
        tags=["a", "b"],
        group="g1",
        job_type="train",
        notes="a note",
        dir=".",
        settings=wandb.Settings(x_stats_sampling_interval=0.2, x_save_requirements=False),
    )
    print("hello from the program", flush=True)
    for step in range(5):
        row = {"train/loss": 1 / (step + 1), "nested": {"acc": step / 10}, "text": f"t{step}"}
        run.log({**row, "_step": 7, "odd": float("nan") if step == 2 else step, "flag": step > 2})
    if is_killed:
        run.log({"last": 1.0})
        time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGKILL)
    table = wandb.Table(columns=["a", "b"], data=[[1, "x"], [2, "y"]])
    picture = wandb.Image(np.full((4, 5, 3), 128, np.uint8))
    run.log({"img": picture, "two": [picture, picture], "table": table, "html": wandb.Html("<b>")})
    run.log({"h": wandb.Histogram(np_histogram=([1, 2, 0], [0.0, 1.0, 2.0, 3.0]))}, step=20)
    with wave.open("beep.wav", "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(16))
    run.log({"beep": wandb.Audio("beep.wav")}, step=21)
    run.config.update({"late": 3})
    run.summary["best"] = 0.5
    Path("model.txt").write_text("weights")
    run.save("model.txt")
    artifact = wandb.Artifact("model", "model")
    artifact.add_file("model.txt")
    artifact.add_reference("https://example.com/data.bin", checksum=False)
    run.log_artifact(artifact)
    run.define_metric("val/*", step_metric="epoch")
    run.alert("title", "text", level=wandb.AlertLevel.WARN)
    print("25 %\r50 %\r100 %")
    time.sleep(0.5)
    run.finish(exit_code=3)


if len(sys.argv) > 1:
    train(sys.argv[1] == "killed")
else:
    import subprocess

    shutil.rmtree(HERE, ignore_errors=True)
    for how in ("complete", "killed"):
        subprocess.run([sys.executable, __file__, how], check=False)
    for folder in sorted(Path("wandb").glob("offline-run-*")):
        target = HERE / ("offline-run-20260101_000000-" + folder.name.rpartition("-")[2])
        target.mkdir(parents=True)
        (made,) = folder.glob("*.wandb")
        shutil.copy(made, target)
        if (folder / "files").is_dir():
            shutil.copytree(folder / "files", target / "files")
