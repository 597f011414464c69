"""A Trainer on real digits, with report_to="expman": trains, evaluates; or ends otherwise."""

import os
import shutil
import signal
import sys

import torch
from sklearn.datasets import load_digits
from transformers import Trainer, TrainingArguments

from expman.integrations.transformers import ExpmanCallback  # registers "expman"

base, out, mode = sys.argv[1:]


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(64, 10)
        self.calls = 0

    def forward(self, x, labels=None):
        self.calls += 1
        if mode in ("raise", "caught"):
            raise ValueError("a bad batch")
        if mode == "kill" and self.calls == 25:  # two of them make a step
            os.kill(os.getpid(), signal.SIGKILL)
        logits = self.layer(x)
        return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}


digits = load_digits()
data = [
    {"x": torch.tensor(x / 16.0, dtype=torch.float32), "labels": int(y)}
    for x, y in zip(digits.data, digits.target, strict=True)
]
arguments = TrainingArguments(
    out,
    run_name="first",
    report_to="expman",
    max_steps=20,
    per_device_train_batch_size=16,
    gradient_accumulation_steps=2,
    logging_steps=5,
    eval_strategy="no" if mode == "kill" else "steps",
    eval_steps=10,
    save_steps=10,
    load_best_model_at_end=mode != "kill",
    use_cpu=True,
    ddp_backend="gloo" if mode == "ranks" else None,
    disable_tqdm=True,
    seed=1,
)


def trainer_of(*callbacks) -> Trainer:
    return Trainer(
        Net(),
        arguments,
        train_dataset=data[:1500],
        eval_dataset=data[1500:],
        callbacks=[*callbacks],
    )


if mode == "resume":
    arguments.report_to = []
    first = ExpmanCallback("resumed", run_name="job")
    trainer_of(first).train()
    first.close()
    shutil.rmtree(f"{out}/checkpoint-20")
    second = ExpmanCallback("resumed", run_name="job", resume="allow", log_checkpoints=True)
    trainer_of(second).train(resume_from_checkpoint=True)
    sys.exit()
trainer = trainer_of()
try:
    trainer.train()
except ValueError as exc:
    if mode != "caught":
        raise
    print("raised", exc)
    mode = "twice"
trainer.evaluate()
if mode == "twice":
    trainer.train()
