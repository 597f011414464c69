"""Makes the runs that the page's tests look at: page_runs.py BASE_DIR (live | goes-on | all)."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import expman

MARKUP = "<img src=x onerror=alert(1)>"
PIXELS = [[[0, 90, 200], [200, 90, 0]], [[90, 200, 0], [255, 255, 255]]]


def sweep(base: str) -> None:
    """Three runs of one experiment that differ in two parameters."""
    for number, rate in enumerate((0.001, 0.01, 0.1)):
        tags = ["team:vision", f"seed:{number}"]
        with expman.init("sweep", f"run-{number}", base_dir=base, tags=tags) as run:
            expman.log_params({"lr": rate, "optimizer": "adam" if number else "sgd", "depth": 18})
            for step in range(120):
                loss = math.exp(-step * rate) + 0.1 * math.sin(step)
                expman.log_vector({"train/loss": loss, "train/acc": 1 - loss / 3}, step)
            expman.log_scalar("score", 1.0 - rate)
        assert run.run_dir


def many_rows(base: str) -> None:
    """A run of so many rows that they are decimated; one of them is a spike."""
    with expman.init("long", "spike", base_dir=base):
        for step in range(30_000):
            expman.log_vector({"loss": 100.0 if step == 20_001 else step % 7 / 7}, step)


def odd(base: str) -> None:
    """Values that are not finite, and names and texts that look like markup."""
    with expman.init("odd", "diverged", base_dir=base):
        for step in range(60):
            value = math.nan if step >= 40 else math.inf if step == 20 else float(step)
            expman.log_vector({"loss": value}, step)
    tags = [f"__proto__:{MARKUP}", "constructor", MARKUP]
    described = f"{MARKUP}\x1b[2J"
    with expman.init(
        "odd", "hostile", base_dir=base, tags=tags, description=described, redirect_console=True
    ):
        keys = {"__proto__": 1, "constructor": 2, MARKUP: MARKUP}
        expman.log_params({**keys, "long": "A" * 1_000_000})
        for step in range(10):
            values = {"__proto__": step, MARKUP: step, "a,b": step, "toString": step}
            expman.log_vector(values, step)
        expman.log_text(MARKUP, f"{MARKUP}</script><script>alert(2)</script>", step=1)
        print(MARKUP)
        print("\x1b[2Jcleared\x07")


def media(base: str) -> None:
    """A run with everything that has a view of its own."""
    artifact = Path(base, "..", "notes.txt")
    artifact.write_text("kept beside the run\n" * 3)
    with expman.init(
        "media",
        "all",
        base_dir=base,
        redirect_console=True,
        system_metrics_interval_secs=1,
        capture_provenance=True,
    ):
        for step in range(5):
            expman.log_vector({"loss": 1 / (step + 1)}, step)
            expman.log_image("picture", bytes_of_png(), step=step)
            expman.log_text("answer", f"It is step {step}.", step=step)
            expman.log_table("mistakes", [{"file": "7.png", "wanted": 7, "got": step}], step=step)
            expman.log_confusion_matrix("classes", [[9, 1], [2, 8]], step=step, labels=["a", "b"])
            expman.log_histogram(
                "weights", edges=[0.0, 1.0, 2.0, 3.0], counts=[step, 5, 9 - step], step=step
            )
            print(f"step {step} is done")
        expman.save_artifact(str(artifact))


def resumed(base: str) -> None:
    """A run that went on from an earlier step."""
    for first, last in ((0, 30), (20, 50)):
        with expman.init("again", "job", base_dir=base, resume="allow", from_step=first):
            for step in range(first, last):
                expman.log_vector({"loss": 1 / (step + 1)}, step)


def bytes_of_png() -> bytes:
    """Returns a picture of two times two pixels."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(b"\x00" + bytes(value for pixel in row for value in pixel) for row in PIXELS)
    header = struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0)
    begin, end = b"\x89PNG\r\n\x1a\n", chunk(b"IEND", b"")
    return begin + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + end


def killed(base: str) -> None:
    """A run whose process kills itself."""
    run = expman.init("odd", "killed", base_dir=base)
    for step in range(20):
        expman.log_vector({"loss": 1 / (step + 1)}, step)
    run.flush()
    os.kill(os.getpid(), 9)


def live(base: str) -> None:
    """A run that logs a row for each line of standard input."""
    with expman.init("live", "now", base_dir=base, redirect_console=True):
        expman.log_vector({"loss": 0.0}, 0)
        print("begun", flush=True)
        for step, _ in enumerate(sys.stdin, 1):
            expman.log_vector({"loss": float(step)}, step)
            print(f"logged {step}", flush=True)


def goes_on(base: str) -> None:
    """The next attempt of that run, from step 2."""
    with expman.init("live", "now", base_dir=base, resume="must", from_step=2):
        for step in range(2, 5):
            expman.log_vector({"loss": 100.0 + step}, step)


if __name__ == "__main__":
    base_dir, what = sys.argv[1:]
    if what == "goes-on":
        goes_on(base_dir)
    elif what == "live":
        live(base_dir)
    elif what == "killed":
        killed(base_dir)
    else:
        for make in (sweep, many_rows, odd, media, resumed):
            make(base_dir)
        subprocess.run([sys.executable, __file__, base_dir, "killed"], check=False)
