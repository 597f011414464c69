"""Makes tensorboard/: event files as the real packages write them.

Run with an environment that has torch, tensorboard and numpy. The committed ones were made with
torch 2.13.0 and tensorboard 2.21.0.
"""

from __future__ import annotations

import io
import shutil
import wave
from pathlib import Path

import numpy as np
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.audio import summary_v2 as audio
from tensorboard.plugins.hparams import summary_v2 as hparams
from tensorboard.plugins.pr_curve import summary as pr_curve
from tensorboard.plugins.scalar import summary_v2 as scalar
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.util import tensor_util
from torch.utils.tensorboard import SummaryWriter

HERE = Path(__file__).parent / "tensorboard"
T0 = 1_700_000_000.0


def with_torch(place: Path) -> None:
    """What torch's SummaryWriter writes: one field for each kind of value."""
    writer = SummaryWriter(str(place))
    for step in range(5):
        writer.add_scalar("train/loss", 1 / (step + 1), step, walltime=T0 + step)
        writer.add_scalar("train/acc", step / 10, step, walltime=T0 + step + 0.001)
    writer.add_scalar("step", 7.0, 5, walltime=T0 + 60)
    writer.add_scalar("nan", float("nan"), 5, walltime=T0 + 60)
    writer.add_histogram("weights", np.array([-1.0, 0.0, 0.5, 0.5, 2.0]), 1, walltime=T0 + 1)
    writer.add_image("digit", np.full((3, 4, 5), 128, np.uint8), 2, walltime=T0 + 2)
    writer.add_text("note", "größer, *better*", 3, walltime=T0 + 3)
    writer.add_audio("beep", np.zeros((1, 80), np.float32), 3, sample_rate=8000, walltime=T0)
    writer.add_pr_curve(
        "pr", np.array([0, 1, 1]), np.array([0.1, 0.8, 0.4]), 4, num_thresholds=5, walltime=T0
    )
    writer.add_mesh("mesh", np.zeros((1, 3, 3), np.float32), global_step=4, walltime=T0)
    writer.close()


def with_tensors(place: Path) -> None:
    """What TensorFlow 2 writes: tensors with the name of a plugin."""
    writer = EventFileWriter(str(place))

    def add(summary: summary_pb2.Summary, step: int) -> None:
        event = event_pb2.Event(wall_time=T0 + step, step=step)
        event.summary.MergeFrom(summary)
        writer.add_event(event)

    def tensor(tag: str, plugin: str, values: object, dtype: str | None = None) -> None:
        found = summary_pb2.Summary()
        value = found.value.add(tag=tag, tensor=tensor_util.make_tensor_proto(values))
        value.metadata.plugin_data.plugin_name = plugin
        add(found, 1)

    for step in range(3):
        add(scalar.scalar_pb("epoch_loss", 0.5 / (step + 1)), step)
    tensor("bins", "histograms", np.array([[0.0, 1.0, 3.0], [1.0, 2.0, 0.0], [2.0, 3.0, 4.0]]))
    png = bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
        "0000000a49444154789c63680000008200 8177cd72b60000000049454e44ae426082".replace(" ", "")
    )
    tensor("pictures", "images", np.array([b"1", b"1", png, png], dtype=object))
    tensor("words", "text", np.array([["a", "b"], ["c", "d"]], dtype=object))
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\0\0" * 8)
    tensor("sound", "audio", np.array([[sound.getvalue(), b"label"]], dtype=object))
    add(hparams.hparams_pb({"lr": 0.1, "opt": "adam", "fast": True}, start_time_secs=T0), 0)
    writer.close()
    assert audio
    assert pr_curve


for name, make in (("torch", with_torch), ("tensors", with_tensors)):
    shutil.rmtree(HERE / name, ignore_errors=True)
    make(HERE / name)
    (made,) = (HERE / name).iterdir()
    made.rename(made.with_name("events.out.tfevents.1700000000.host.1.0"))
