"""Trains a classifier on scanned digits and records everything with expman.

The data are scikit-learn's digits: 1,797 handwritten digits, 8 × 8 pixels each. The model is a
small network, trained by momentum SGD in numpy. A thread prepares the batches in pure Python, so
somebody always wants the GIL: the setting in which loggers that work in a thread fall behind.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import queue
import random
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pyarrow.parquet as pq
from sklearn.datasets import load_digits
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import train_test_split

from expman import ExperimentConfig, LoggingEngine, LogLevel, Run, RunStatus

mpl.use("Agg")
from matplotlib import pyplot as plt

SIDE = 8
SAMPLES = 16
CLASSES = 10
HIDDEN = 96
BATCH_SIZE = 32
LEARNING_RATE = 0.05
MOMENTUM = 0.9
WEIGHT_DECAY = 1e-4
NOISE = 0.1

Image = list[list[float]]
Data = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # train x and y, test x and y


# --- the input pipeline: pure Python, holds the GIL ------------------------------------------


def augment(image: Image, rng: random.Random) -> list[float]:
    """Moves an image by up to one pixel, adds noise and cuts it to 0 … 1."""
    down, right = rng.randint(-1, 1), rng.randint(-1, 1)
    pixels = []
    for row in range(SIDE):
        for column in range(SIDE):
            y, x = row - down, column - right
            value = image[y][x] if 0 <= y < SIDE and 0 <= x < SIDE else 0.0
            value += rng.random() * NOISE
            pixels.append(min(value, 1.0))
    return pixels


def make_batches(
    images: list[Image], labels: list[int], epochs: int, out: queue.Queue[Any]
) -> None:
    """Puts (epoch, pixels, labels) batches into a queue, and None at the end."""
    rng = random.Random(0)
    order = list(range(len(images)))
    for epoch in range(epochs):
        rng.shuffle(order)
        for start in range(0, len(order), BATCH_SIZE):
            chosen = order[start : start + BATCH_SIZE]
            pixels = [augment(images[index], rng) for index in chosen]
            out.put((epoch, np.array(pixels), np.array([labels[index] for index in chosen])))
    out.put(None)


def prefetched(
    images: list[Image], labels: list[int], epochs: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Gives the batches that a thread prepares meanwhile."""
    batches: queue.Queue[Any] = queue.Queue(maxsize=64)
    threading.Thread(
        target=make_batches, args=(images, labels, epochs, batches), daemon=True
    ).start()
    while (batch := batches.get()) is not None:
        yield batch


# --- the model -------------------------------------------------------------------------------


class Network:
    """Pixels → hidden layer (ReLU) → class probabilities (softmax)."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        inputs = SIDE * SIDE
        self.weights = {
            "hidden/kernel": rng.normal(0, np.sqrt(2 / inputs), (inputs, HIDDEN)),
            "hidden/bias": np.zeros(HIDDEN),
            "output/kernel": rng.normal(0, np.sqrt(2 / HIDDEN), (HIDDEN, CLASSES)),
            "output/bias": np.zeros(CLASSES),
        }
        self._speed = {name: np.zeros_like(value) for name, value in self.weights.items()}

    def predict(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gives the hidden activations and the class probabilities."""
        w = self.weights
        hidden = np.maximum(pixels @ w["hidden/kernel"] + w["hidden/bias"], 0)
        scores = hidden @ w["output/kernel"] + w["output/bias"]
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return hidden, scores / scores.sum(axis=1, keepdims=True)

    def evaluate(self, pixels: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
        """Gives the mean loss and the accuracy."""
        _, probabilities = self.predict(pixels)
        return loss_and_accuracy(probabilities, labels)

    def train_step(
        self, pixels: np.ndarray, labels: np.ndarray, learning_rate: float
    ) -> tuple[float, float, float]:
        """Takes one step downhill; gives the loss, the accuracy and the gradient's norm."""
        hidden, probabilities = self.predict(pixels)
        error = probabilities.copy()
        error[np.arange(len(labels)), labels] -= 1
        error /= len(labels)
        back = (error @ self.weights["output/kernel"].T) * (hidden > 0)
        gradients = {
            "hidden/kernel": pixels.T @ back,
            "hidden/bias": back.sum(axis=0),
            "output/kernel": hidden.T @ error,
            "output/bias": error.sum(axis=0),
        }
        squares = 0.0
        for name, gradient in gradients.items():
            squares += float((gradient * gradient).sum())
            speed = self._speed[name]
            speed *= MOMENTUM
            speed -= learning_rate * (gradient + WEIGHT_DECAY * self.weights[name])
            self.weights[name] += speed
        return *loss_and_accuracy(probabilities, labels), squares**0.5


def loss_and_accuracy(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Gives the mean cross-entropy and the share of right answers."""
    right = probabilities[np.arange(len(labels)), labels]
    loss = -np.log(np.maximum(right, 1e-12)).mean()
    return float(loss), float((probabilities.argmax(axis=1) == labels).mean())


# --- what logging costs ----------------------------------------------------------------------


class Stopwatch:
    """Adds up how long logging calls take, less what reading the clock takes."""

    def __init__(self) -> None:
        clock = time.perf_counter_ns
        empty = [-clock() + clock() for _ in range(10_000)]
        self.overhead_ns = int(statistics.median(empty))
        self.vector_ns: list[int] = []
        self.other_ns: list[int] = []
        self.phase_s: dict[str, float] = {}

    def time(self, into: list[int], call: Any, *args: Any) -> None:
        """Makes a call and notes how long it took."""
        start = time.perf_counter_ns()
        call(*args)
        into.append(time.perf_counter_ns() - start - self.overhead_ns)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Notes how long a part of the job took."""
        start = time.perf_counter()
        yield
        self.phase_s[name] = time.perf_counter() - start

    @property
    def total_s(self) -> float:
        """Seconds that all calls took."""
        return (sum(self.vector_ns) + sum(self.other_ns)) / 1e9


# --- the job ---------------------------------------------------------------------------------


def main() -> None:
    """Runs the demo from the command line."""
    options = parse_arguments()
    images, targets = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(
        images, targets, test_size=0.25, random_state=0, stratify=targets
    )

    watch = Stopwatch()
    config = ExperimentConfig(
        "digits",
        options.base_dir,
        tags=("demo",),
        redirect_console=True,
        system_metrics_interval_secs=1,
        capture_provenance=True,
    )
    with tempfile.TemporaryDirectory() as scratch:
        with watch.phase("start"):
            engine = LoggingEngine(config)
        with engine:
            print(f"training on {len(train_x)} scanned digits, logging into {engine.run_dir}")
            network = Network()
            data = (train_x / 16.0, train_y, test_x / 16.0, test_y)
            with watch.phase("train"):
                rows = train(engine, watch, network, data, options.epochs)
                save_results(engine, watch, network, data, Path(scratch))
            with watch.phase("close"):
                engine.close(RunStatus.FINISHED)

    table = pq.read_table(Path(engine.run_dir) / "vectors.parquet")
    curve = draw_curve(table.to_pydict(), options.out or default_picture(engine.run_dir))
    report(engine.run_dir, watch, rows, table, curve)
    print(flush=True)
    subprocess.run([sys.executable, "-m", "expman.cli", "show", engine.run_dir], check=True)
    print_next_steps(engine.run_dir)
    if table.num_rows != rows:
        sys.exit(f"{rows} rows were logged, {table.num_rows} are in vectors.parquet")


def parse_arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base-dir", default="./experiments", help="where experiments are kept")
    parser.add_argument("--epochs", type=int, default=200, help="passes over the data")
    parser.add_argument("--out", type=Path, help="file of the learning curve (PNG)")
    return parser.parse_args()


def train(
    engine: LoggingEngine,
    watch: Stopwatch,
    network: Network,
    data: Data,
    epochs: int,
) -> int:
    """Trains and logs; gives the number of rows logged."""
    train_x, train_y, test_x, test_y = data
    steps_per_epoch = -(-len(train_x) // BATCH_SIZE)
    steps = epochs * steps_per_epoch
    parameters = {
        "data": {"name": "digits", "train": len(train_x), "test": len(test_x)},
        "model": {"layers": [SIDE * SIDE, HIDDEN, CLASSES], "activation": "relu"},
        "optimizer": {"name": "sgd", "learning_rate": LEARNING_RATE, "momentum": MOMENTUM},
        "batch_size": BATCH_SIZE,
        "epochs": epochs,
    }
    watch.time(watch.other_ns, engine.log_params, parameters)
    watch.time(watch.other_ns, engine.log_message, LogLevel.INFO, f"training for {steps} steps")

    images = [[list(map(float, row)) for row in x.reshape(SIDE, SIDE)] for x in train_x]
    rows, best, step = 0, 0.0, 0
    progress = Progress(epochs)
    for epoch, pixels, labels in prefetched(images, [int(label) for label in train_y], epochs):
        rate = LEARNING_RATE * (1 + np.cos(np.pi * step / steps)) / 2
        loss, accuracy, norm = network.train_step(pixels, labels, rate)
        values = {"loss": loss, "accuracy": accuracy, "lr": rate, "grad_norm": norm}
        watch.time(watch.vector_ns, engine.log_vector, values, step)
        step, rows = step + 1, rows + 1
        if step % steps_per_epoch:
            continue
        test_loss, test_accuracy = network.evaluate(test_x, test_y)
        values = {"test/loss": test_loss, "test/accuracy": test_accuracy, "epoch": epoch}
        watch.time(watch.vector_ns, engine.log_vector, values, step - 1)
        rows += 1
        if test_accuracy > best:
            best = test_accuracy
            watch.time(watch.other_ns, engine.log_scalar, "best_test_accuracy", best)
        for name, weights in network.weights.items():
            watch.time(watch.other_ns, engine.log_histogram, f"weights/{name}", weights, epoch)
        progress.show(epoch + 1, loss, test_accuracy)
    watch.time(watch.other_ns, engine.log_scalar, "test_accuracy", test_accuracy)
    watch.time(watch.other_ns, engine.log_message, LogLevel.INFO, "training is done")
    return rows


class Progress:
    """One line that is written over on a terminal, and a line now and then elsewhere."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._terminal = sys.stdout.isatty()
        self._every = 1 if self._terminal else max(1, epochs // 10)

    def show(self, epoch: int, loss: float, test_accuracy: float) -> None:
        """Shows how far the training is."""
        last = epoch == self._epochs
        if epoch % self._every and not last:
            return
        done = 24 * epoch // self._epochs
        text = (
            f"[{'#' * done:<24}] epoch {epoch}/{self._epochs}  "
            f"loss {loss:.4f}  test accuracy {test_accuracy:.4f}"
        )
        end = "\n" if last or not self._terminal else ""
        print(f"\r{text}" if self._terminal else text, end=end, flush=True)


def save_results(
    engine: LoggingEngine,
    watch: Stopwatch,
    network: Network,
    data: Data,
    scratch: Path,
) -> None:
    """Saves the model and a picture of its mistakes as artifacts, and logs samples of these."""
    np.savez_compressed(scratch / "model.npz", **network.weights)
    watch.time(watch.other_ns, engine.save_artifact, scratch / "model.npz")

    _, _, test_x, test_y = data
    _, probabilities = network.predict(test_x)
    predicted = probabilities.argmax(axis=1)
    matrix = confusion_matrix(test_y, predicted)
    watch.time(watch.other_ns, engine.log_confusion_matrix, "test", matrix)
    wrong = np.flatnonzero(predicted != test_y)[:SAMPLES]
    if len(wrong):
        mistakes = test_x[wrong].reshape(-1, SIDE, SIDE)
        watch.time(watch.other_ns, engine.log_images, "mistakes", mistakes)
        rows = [{"written": int(test_y[n]), "predicted": int(predicted[n])} for n in wrong]
        watch.time(watch.other_ns, engine.log_table, "mistakes", rows)
    figure, axes = plt.subplots(figsize=(5, 5), layout="constrained")
    axes.imshow(np.sqrt(matrix), cmap="Blues")
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            color = "white" if row == column else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=color)
    axes.set(xlabel="predicted", ylabel="written", xticks=range(CLASSES), yticks=range(CLASSES))
    axes.set_title("Digits of the test set")
    figure.savefig(scratch / "confusion_matrix.png", dpi=120)
    plt.close(figure)
    watch.time(watch.other_ns, engine.save_artifact, scratch / "confusion_matrix.png")


def default_picture(run_dir: str) -> Path:
    """Gives the learning curve its place beside the run's directory."""
    run = Path(run_dir)
    return run.parent / f"{run.name}-learning-curve.png"


def draw_curve(columns: dict[str, list[Any]], out: Path) -> Path:
    """Draws the learning curve from the columns of vectors.parquet."""

    def series(name: str) -> tuple[list[int], list[float]]:
        pairs = zip(columns["step"], columns[name], strict=True)
        steps, values = zip(*[pair for pair in pairs if pair[1] is not None], strict=True)
        return list(steps), list(values)

    figure, (upper, lower) = plt.subplots(2, 1, figsize=(8, 6), sharex=True, layout="constrained")
    for axes, what in ((upper, "loss"), (lower, "accuracy")):
        steps, values = series(what)
        width = max(1, min(50, len(values) // 10))
        smooth = np.convolve(values, np.ones(width) / width, mode="valid")
        axes.plot(steps, values, color="tab:blue", alpha=0.2, linewidth=0.5)
        axes.plot(steps[width - 1 :], smooth, color="tab:blue", label=f"train, mean of {width}")
        axes.plot(*series(f"test/{what}"), color="tab:orange", label="test")
        axes.set_ylabel(what)
        axes.grid(alpha=0.3)
        axes.legend()
    upper.set_yscale("log")
    upper.set_title("Digits: read back from vectors.parquet")
    lower.set_xlabel("step")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    plt.close(figure)
    return out


def report(run_dir: str, watch: Stopwatch, rows: int, table: Any, curve: Path) -> None:
    """Prints the run's directory, the final numbers and what logging cost."""
    calls, seconds = sorted(watch.vector_ns), watch.phase_s
    # The slowest calls are those that the other thread took the GIL from.
    median, tail = statistics.median(calls), calls[int(len(calls) * 0.999)]
    last = {name: [v for v in table[name].to_pylist() if v is not None][-1] for name in SHOWN}
    print()
    print(f"run directory   {run_dir}")
    for name, text in SHOWN.items():
        print(f"{text:<15} {last[name]:.4f}")
    print(f"rows            {rows} logged, {table.num_rows} read back from vectors.parquet")
    run = Run(run_dir)
    kinds = [item.kind.replace("_", " ") for item in run.media()]
    print(f"media           {', '.join(kinds)}, {len(run.histograms())} histograms")
    print(
        f"logging         {watch.total_s / seconds['train']:.2%} "
        f"of {seconds['train']:.1f} s of training; "
        f"log_vector: median {median:,.0f} ns, 99.9 % below {tail:,.0f} ns"
    )
    print(
        f"                measured around each of {len(calls) + len(watch.other_ns)} calls, "
        f"less {watch.overhead_ns} ns for reading the clock"
    )
    print(
        f"start, close    {seconds['start'] * 1e3:.0f} ms to make the engine, "
        f"{seconds['close']:.2f} s to close it"
    )
    print(f"learning curve  {curve}")


def print_next_steps(run_dir: str) -> None:
    """Prints commands to try next; they work where the demo was called."""
    own = os.path.join(os.path.dirname(sys.executable), "expman")  # of scripts/demo's environment
    known = shutil.which("expman")
    is_known = known is not None and os.path.realpath(known) == os.path.realpath(own)
    command = "expman" if is_known else shlex.quote(os.path.relpath(own))
    run = shlex.quote(os.path.relpath(run_dir))
    base_dir = shlex.quote(os.path.relpath(os.path.join(run_dir, os.pardir, os.pardir)))
    print("\nTry next:")
    print(f"  {command} ui {base_dir}")
    print("      the curves, pictures and messages in the browser")
    print(f"  {command} plot {run} loss 'test/*'")
    print("      curves in the terminal")
    print(f"  {command} why digits/latest --base-dir {base_dir}")
    print("      how a run ended: start the demo once more, and kill -9 it meanwhile", flush=True)


SHOWN = {
    "loss": "train loss",
    "accuracy": "train accuracy",
    "test/loss": "test loss",
    "test/accuracy": "test accuracy",
}


if __name__ == "__main__":
    main()
