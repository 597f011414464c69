"""For scripts/bench_dataloader: two loaders over the same images, one of which logs, in turns."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable

import torch
from torch.utils.data import DataLoader, Dataset

import expman

SIZE = 256
CROP = 224
ROUNDS = 30


class Images(Dataset[torch.Tensor]):
    """Images of noise, cropped, flipped, jittered and normalized; a row per sample or none."""

    def __init__(self, samples: int, repeats: int, engine: expman.LoggingEngine | None) -> None:
        self._samples = samples
        self._repeats = repeats
        self._engine = engine
        self._image = torch.randint(0, 256, (3, SIZE, SIZE), dtype=torch.uint8)

    def __len__(self) -> int:
        return self._samples

    def __getitem__(self, index: int) -> torch.Tensor:
        begin = time.perf_counter()
        for _ in range(self._repeats):
            image = self._augmented()
        if self._engine is not None:
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


def make_epoch(samples: int, workers: int, dataset: Dataset[torch.Tensor]) -> Callable[[], float]:
    """A function that runs one epoch and returns its samples per second."""
    loader = DataLoader(dataset, batch_size=32, num_workers=workers, persistent_workers=True)

    def run() -> float:
        begin = time.perf_counter()
        for _ in loader:
            pass
        return samples / (time.perf_counter() - begin)

    run()  # starts the workers, and their lanes
    return run


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
        silent, logging = (
            make_epoch(wanted.samples, wanted.workers, Images(wanted.samples, wanted.repeats, one))
            for one in (None, engine)
        )
        ratios, rates = [], []
        for number in range(wanted.rounds):
            turns = (silent, logging) if number % 2 else (logging, silent)
            speeds = {turn: turn() for turn in turns}
            ratios.append(speeds[silent] / speeds[logging])
            rates.append(speeds[silent])
        engine.close()
        logged = expman.Run(engine.run_dir).vectors().num_rows
    expected = (wanted.rounds + 1) * wanted.samples
    assert expected == logged, f"{logged} rows of {expected}"
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"{wanted.workers} workers, {statistics.median(rates):,.0f} samples/s without logging")
    print(f"time with a row per sample / time without: {middle:.4f} ({low:.4f} to {high:.4f})")
    print(f"{logged:,} rows logged, all in the file")


if __name__ == "__main__":
    main()
