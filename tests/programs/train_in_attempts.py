"""Trains a softmax regression on digits, attempt after attempt, from its checkpoint on.

train_in_attempts.py BASE_DIR DATA CHECKPOINT STEPS PAUSE [PRINT]: a checkpoint is saved every 7
steps, and when SIGTERM comes. Each step depends on its number and on the weights alone. PAUSE is
the time that a step takes at least. PRINT: the steps are printed.
"""

from __future__ import annotations

import os
import sys
import time

import numpy as np

import expman

base_dir, data, checkpoint, steps, pause_s, *options = sys.argv[1:]
digits = np.load(data)
inputs, labels = digits["inputs"], digits["labels"]
weights = np.zeros((inputs.shape[1], 10))
first = 0
if os.path.exists(checkpoint):
    saved = np.load(checkpoint)
    weights, first = saved["weights"], int(saved["step"])


def save(step: int) -> None:
    with open(f"{checkpoint}.new", "wb") as file:
        np.savez(file, weights=weights, step=step)
    os.replace(f"{checkpoint}.new", checkpoint)


run = expman.init(
    "digits", "run", base_dir, resume="allow", from_step=first, flush_interval_ms=50, quiet=True
)
print(f"attempt {expman.Run(run.run_dir).metadata.attempt} from {first}", flush=True)
with run, expman.on_preemption() as preempted:
    for step in range(first, int(steps)):
        rows = np.random.default_rng(step).choice(len(inputs), 64, replace=False)
        x, y = inputs[rows], labels[rows]
        scores = x @ weights
        scores -= scores.max(axis=1, keepdims=True)
        odds = np.exp(scores)
        odds /= odds.sum(axis=1, keepdims=True)
        loss = float(-np.log(odds[np.arange(64), y]).mean())
        accuracy = float((scores.argmax(axis=1) == y).mean())
        odds[np.arange(64), y] -= 1.0
        weights -= 0.1 * x.T @ odds / 64
        run.log_vector({"loss": loss, "accuracy": accuracy}, step)
        if options:
            print(step, flush=True)
        if (step + 1) % 7 == 0 or preempted:
            save(step + 1)
        if preempted:
            break
        time.sleep(float(pause_s))
