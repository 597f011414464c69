"""Trains over a DataLoader whose workers log each sample.

dataloader.py METHOD PERSISTENT BASE_DIR WORKERS EPOCHS [KILLED]: the worker that makes sample
number KILLED gets SIGKILL, once the writer has its rows, and the training ends early.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from expman import ExperimentConfig, LoggingEngine

SAMPLES = 200
KILLED = int(sys.argv[6]) if len(sys.argv) > 6 else -1


class Augmented(Dataset):  # type: ignore[type-arg]
    """Samples whose augmentation logs how long it took, from whichever worker makes it."""

    def __init__(self, engine: LoggingEngine) -> None:
        self.engine = engine

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: int) -> torch.Tensor:
        start = time.perf_counter()
        sample = torch.full((8,), float(index)).add_(1).flip(0)
        info = get_worker_info()
        self.engine.log_vector(
            {
                "augment_s": time.perf_counter() - start,
                "sample": index,
                "worker": -1 if info is None else info.id,
            }
        )
        if index == KILLED:
            self.engine.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        return sample


def main() -> None:
    """Trains for some epochs."""
    method, persistent, base_dir = sys.argv[1], sys.argv[2] == "persistent", sys.argv[3]
    workers, epochs = int(sys.argv[4]), int(sys.argv[5])
    with LoggingEngine(ExperimentConfig("loader", base_dir)) as engine:
        loader = DataLoader(
            Augmented(engine),
            batch_size=10,
            num_workers=workers,
            persistent_workers=persistent,
            multiprocessing_context=method,
        )
        for epoch in range(epochs):
            with contextlib.suppress(RuntimeError if KILLED >= 0 else ()):
                for number, batch in enumerate(loader):
                    engine.log_vector({"batch_mean": float(batch.mean()), "epoch": epoch}, number)
        del loader
    print(engine.run_dir)


if __name__ == "__main__":
    main()
