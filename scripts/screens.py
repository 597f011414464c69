"""Refreshes docs/learn/screens.md, its pictures and that of the README, from real runs.

Four small networks are trained and recorded; the last run goes on while the commands run.
The output of `expman doctor` is about the machine and stays as it is.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.text import Text

from expman import Experiment

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "learn" / "screens.md"
IMAGES = ROOT / "docs" / "images"
# Curves are pictures: many fonts give the signs that they are made of a width of their own.
PICTURES = {
    "terminal.svg": ("ls", "show latest", "plot latest loss"),
    "compare.svg": ("compare baseline low-lr -m loss",),
}
WITHOUT_TEXT = ("doctor", "plot", "compare")
WIDTH = 80
_BLOCK = re.compile(r"^```text\n\$ (?P<command>[^\n]*)\n.*?^```$", re.MULTILINE | re.DOTALL)
_FONT = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


def main() -> None:
    """Trains, runs the commands, and writes both files."""
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        for name, lr, hidden in (("baseline", 0.2, 16), ("low-lr", 0.04, 16)):
            with Experiment("moons", run_name=name, tags=["demo"]) as run:
                train(run, lr, hidden, steps=400)
        try:
            with Experiment("moons", run_name="high-lr", tags=["demo"]) as run:
                train(run, 5e3, 16, steps=400)
        except ArithmeticError:
            pass
        with Experiment("moons", run_name="wide", description="twice as wide") as run:
            train(run, 0.2, 32, steps=400)
            run.flush()
            PAGE.write_text(_BLOCK.sub(refreshed, PAGE.read_text()))
            for name, commands in PICTURES.items():
                shown = [(command, output(f"expman {command}")) for command in commands]
                (IMAGES / name).write_text(picture(shown))


def train(run: Experiment, lr: float, hidden: int, steps: int) -> None:
    """Separates two half moons by a network with one hidden layer."""
    run.log_params({"lr": lr, "batch_size": 256, "model": {"hidden": hidden, "activation": "tanh"}})
    rng = np.random.default_rng(0)
    angle, label = rng.uniform(0, np.pi, 1000), np.arange(1000) % 2
    inputs = np.stack(
        [np.cos(angle) * (1 - 2 * label) + label, (np.sin(angle) - 0.25) * (1 - 2 * label)], axis=1
    ) + rng.normal(0, 0.2, (1000, 2))
    first, second = rng.normal(0, 1, (3, hidden)), rng.normal(0, 0.05, hidden + 1)
    for step in range(steps):
        chosen = rng.integers(0, 1000, 256)
        with np.errstate(over="ignore"):
            x = np.column_stack([inputs[chosen], np.ones(256)])
            h = np.column_stack([np.tanh(x @ first), np.ones(256)])
            p = 1 / (1 + np.exp(-h @ second))
        y = label[chosen]
        with np.errstate(divide="ignore", invalid="ignore"):
            loss = float(-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)))
        run.log_vector({"loss": loss, "accuracy": float(np.mean((p > 0.5) == y))}, step)
        if not np.isfinite(loss):
            raise ArithmeticError(f"the loss is {loss} at step {step}")
        error = (p - y) / 256
        second_slope = h.T @ error
        first -= lr * x.T @ (np.outer(error, second[:-1]) * (1 - h[:, :-1] ** 2))
        second -= lr * second_slope
        if step % 100 == 99:
            run.info(f"step {step + 1}: loss {loss:.3f}")


def refreshed(block: re.Match[str]) -> str:
    """The block with what its command prints now."""
    if any(word in block["command"] for word in WITHOUT_TEXT):
        return block[0]
    text = Text.from_ansi(output(block["command"])).plain
    lines = "\n".join(line.rstrip() for line in text.rstrip().splitlines())
    return f"```text\n$ {block['command']}\n{lines}\n```"


def output(command: str) -> str:
    """What a command prints in a terminal of 80 columns, with its colors."""
    words = shlex.split(command)
    settings = {"COLUMNS": str(WIDTH), "TERM": "xterm-256color", "FORCE_COLOR": "1"}
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        settings[name] = value
    words[0] = str(Path(sys.executable).parent / words[0])
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    done = subprocess.run(
        words, env=environment | settings, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def picture(shown: list[tuple[str, str]]) -> str:
    """A terminal with commands and what they print, as SVG without fonts from elsewhere."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    for command, text in shown:
        console.print(f"[bold green]$[/] expman {command}", highlight=False)
        console.print(Text.from_ansi(text.rstrip() + "\n"))
    svg = console.export_svg(title="expman", unique_id="terminal")
    return _FONT.sub("", svg).replace("Fira Code", "DejaVu Sans Mono, Menlo, Consolas")


if __name__ == "__main__":
    main()
