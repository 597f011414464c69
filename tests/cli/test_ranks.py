"""Runs that several ranks log into: what plot, show and compare say of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli.conftest import Expman
from unit.reading.test_metric_curves import job


@pytest.mark.parametrize(
    ("ranks", "options", "title", "legend"),
    [
        (3, [], "loss (3 ranks)", ["rank 0", "rank 1", "rank 2"]),
        (3, ["--by", "band"], "loss (3 ranks: greatest, median, least)", ["greatest", "least"]),
        (9, [], "loss (9 ranks: greatest, median, least)", ["greatest", "median", "least"]),
        (9, ["--by", "process"], "loss (9 ranks)", ["rank 0", "rank 8"]),
        (9, ["--rank", 1, "--rank", 2], "loss (2 ranks)", ["rank 1", "rank 2"]),
        (9, ["--producer", "rank-?", "--log"], "loss (8 ranks, log scale)", ["rank 8"]),
        (9, ["--rank", 4], "loss (rank 4)", []),
        (1, [], "loss", []),
    ],
)
def test_lines_of_a_plot(
    expman_command: Expman, tmp_path: Path, ranks: int, options: list[str], title: str, legend: str
) -> None:
    """Each rank has a line, or many are a band; the title says which."""
    job(tmp_path, ranks)
    result = expman_command("plot", "job", "loss", *options, base_dir=tmp_path)
    assert 0 == result.code, result.err
    lines = result.out.splitlines()
    assert title == lines[0].strip()
    below = lines[-1] if legend else ""
    assert all(label in below for label in legend)
    assert 0 == expman_command("plot", "job", "-o", "p.svg", *options, base_dir=tmp_path).code
    assert "<svg" in Path("p.svg").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rank", 9], "--rank 9: run"),
        (["--rank", 9], "has rows of ranks 0 to 2"),
        (["--producer", "worker-*"], "--producer worker-*: run"),
        (["--system", "--rank", 0], "leave out --system"),
    ],
)
def test_who_is_not_there(
    expman_command: Expman, tmp_path: Path, options: list[str], message: str
) -> None:
    """Wrong usage; the message names those who are there."""
    job(tmp_path, 3)
    result = expman_command("plot", "job", *options, base_dir=tmp_path)
    assert 2 == result.code
    assert message in result.err


def test_small_curves_say_what_they_are(expman_command: Expman, tmp_path: Path) -> None:
    """In `show`, and side by side with another run."""
    job(tmp_path, 3)
    job(tmp_path / "other", 1)
    (tmp_path / "other" / "exp" / "job").rename(tmp_path / "exp" / "alone")
    shown = expman_command("show", "job", base_dir=tmp_path).out
    assert "median of 3 ranks, last values 19 to 39" in shown
    result = expman_command("compare", "job", "alone", "-m", "loss", base_dir=tmp_path)
    assert "loss (of each run the median of its processes)" in result.out
