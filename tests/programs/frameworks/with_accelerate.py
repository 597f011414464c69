"""Accelerator(log_with="expman") in a small real training."""

import sys

import torch
from accelerate import Accelerator
from sklearn.datasets import load_digits

import expman.integrations.accelerate  # noqa: F401 - registers "expman"

base, out, mode = sys.argv[1:]
digits = load_digits()
data = torch.utils.data.TensorDataset(
    torch.tensor(digits.data / 16.0, dtype=torch.float32), torch.tensor(digits.target)
)
accelerator = Accelerator(cpu=True, log_with="expman")
accelerator.init_trackers(
    "digits",
    config={"lr": 0.1, "batch": 64},
    init_kwargs={"expman": {"run_name": "run", "base_dir": base, "quiet": True}},
)
model = torch.nn.Linear(64, 10)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
loader = torch.utils.data.DataLoader(data, 64)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
for step, (x, y) in enumerate(loader):
    loss = torch.nn.functional.cross_entropy(model(x), y)
    optimizer.zero_grad()
    accelerator.backward(loss)
    optimizer.step()
    if mode == "raise":
        raise ValueError("a bad batch")
    accelerator.log({"loss": loss.item(), "note": "text", "odd": [1, 2]}, step=step)
if accelerator.is_main_process:
    pictures = digits.images[:4, :, :, None] / 16.0
    accelerator.get_tracker("expman").log_images({"digits": pictures}, 28)
accelerator.end_training()
