"""For scripts/bench_dataloader: epochs of one loader whose workers log, and do not, in turns."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time

import torch
from torch.utils.data import DataLoader, Dataset

import expman

SIZE = 256
CROP = 224
ROUNDS = 30


class Images(Dataset[torch.Tensor]):
    """Images of noise, cropped, flipped, jittered and normalized; a row per sample or none.

    `logs` is in shared memory: the same workers serve both, as two sets of them differ by more
    than what is measured.
    """

    def __init__(self, samples: int, repeats: int, engine: expman.LoggingEngine) -> None:
        self._samples = samples
        self._repeats = repeats
        self._engine = engine
        self.logs = torch.zeros(1, dtype=torch.bool).share_memory_()
        self._image = torch.randint(0, 256, (3, SIZE, SIZE), dtype=torch.uint8)

    def __len__(self) -> int:
        return self._samples

    def __getitem__(self, index: int) -> torch.Tensor:
        begin = time.perf_counter()
        for _ in range(self._repeats):
            image = self._augmented()
        if self.logs:
            took_ms = 1e3 * (time.perf_counter() - begin)
            self._engine.log_vector({"augment_ms": took_ms, "sample": index})
        return image

    def _augmented(self) -> torch.Tensor:
        top, left = torch.randint(0, SIZE - CROP, (2,)).tolist()
        image = self._image[:, top : top + CROP, left : left + CROP].float() / 255
        if torch.rand(()) < 0.5:
            image = image.flip(2)
        image = (image - 0.5) * (0.8 + 0.4 * torch.rand(())) + 0.5
        return (image - 0.45) / 0.225


def main() -> None:
    """Prints the ratio of the two throughputs, a median over rounds with its quartiles."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--samples", type=int, default=1_000, help="per epoch")
    parser.add_argument("--repeats", type=int, default=5, help="augmentations per sample")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        engine = expman.LoggingEngine(expman.ExperimentConfig("dataloader", place))
        images = Images(wanted.samples, wanted.repeats, engine)
        loader = DataLoader(
            images, batch_size=32, num_workers=wanted.workers, persistent_workers=True
        )

        def run_epoch(*, logs: bool) -> float:
            images.logs[0] = logs
            begin = time.perf_counter()
            for _ in loader:
                pass
            return time.perf_counter() - begin

        run_epoch(logs=True)  # starts the workers, and their lanes
        ratios, times = [], []
        for number in range(wanted.rounds):
            turns = (False, True) if number % 2 else (True, False)
            took = {logs: run_epoch(logs=logs) for logs in turns}
            ratios.append(took[True] / took[False])
            times.append(took[False])
        engine.close()
        logged = expman.Run(engine.run_dir).vectors().num_rows
    expected = (wanted.rounds + 1) * wanted.samples
    assert expected == logged, f"{logged} rows of {expected}"
    low, middle, high = statistics.quantiles(ratios, n=4)
    rate = wanted.samples / statistics.median(times)
    print(f"{wanted.workers} workers, {rate:,.0f} samples/s without logging")
    print(f"time with a row per sample / time without: {middle:.4f} ({low:.4f} to {high:.4f})")
    print(f"{logged:,} rows logged, all in the file")


if __name__ == "__main__":
    main()
