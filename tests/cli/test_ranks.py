"""Runs that several ranks log into: what plot, show and compare say of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli.conftest import Expman
from unit.reading.run_files import make_run
from unit.reading.test_metric_curves import job, rows

from expman.models import Rank, RunStatus


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


def many(base: Path, count: int, late: int = 3, status: RunStatus = RunStatus.RUNNING) -> Path:
    """A run of so many ranks: one has 4 rows, the others 20."""
    blocks = [
        rows("main" if r == 0 else f"rank-{r}", [1.0] * (4 if r == late else 20), rank=r)
        for r in range(count)
    ]
    place = Rank(rank=0, world_size=count)
    return make_run(base, "job", *blocks, rank=place, group="g", status=status)


def table(shown: str) -> list[list[str]]:
    """The lines of the table of ranks, by their columns."""
    lines = shown.split("ranks\n")[1].splitlines()
    cells = [line.split() for line in lines if line.startswith("  rank ")]
    return [[" ".join(line[:2]), *line[2:6]] for line in cells]


def test_show_has_a_line_for_each_rank(expman_command: Expman, tmp_path: Path) -> None:
    """With its rows, its last step, and by how much it is behind."""
    many(tmp_path, 5)
    lines = table(expman_command("show", "job", base_dir=tmp_path).out)
    assert ["rank 0", "running", "20", "19"] == lines[0][:4]
    assert ["rank 3", "running", "4", "3", "16"] == lines[3]
    assert 5 == len(lines)
    found = json.loads(expman_command("show", "job", "--json", base_dir=tmp_path).out)
    assert [0, 0, 0, 16, 0] == [one["behind"] for one in found["producers"]]


@pytest.mark.parametrize("status", [RunStatus.RUNNING, RunStatus.FINISHED])
def test_show_of_many_ranks_is_cut(
    expman_command: Expman, tmp_path: Path, status: RunStatus
) -> None:
    """Those that are behind, or ended early, are there; a line says what is left out."""
    many(tmp_path, 40, late=33, status=status)
    shown = expman_command("show", "job", base_dir=tmp_path).out
    lines = table(shown)
    assert 16 == len(lines)
    assert {"rank 33", "rank 0"} <= {line[0] for line in lines}
    assert "… and 24 more, last steps 19; all of them with --json" in shown
    found = json.loads(expman_command("show", "job", "--json", base_dir=tmp_path).out)
    assert 40 == len(found["producers"])


def test_show_of_one_process_has_no_table(expman_command: Expman, tmp_path: Path) -> None:
    """Nor has a run that nobody logged into."""
    job(tmp_path, 1)
    make_run(tmp_path, "empty")
    for name in ("job", "empty"):
        shown = expman_command("show", name, base_dir=tmp_path).out
        assert "last step" not in shown


def test_show_of_workers(expman_command: Expman, tmp_path: Path) -> None:
    """Processes that are no ranks have a table, too; times count back from the end."""
    blocks = [rows(name, [1.0] * 3) for name in ("main", "worker-0", "worker-1")]
    make_run(tmp_path, "r", *blocks, finished_at="2023-11-14T22:13:25.000000Z")
    shown = expman_command("show", "r", base_dir=tmp_path).out
    assert "processes\n" in shown
    line = next(line for line in shown.splitlines() if line.startswith("  worker-1"))
    assert ["worker-1", "ended", "3", "2", "5.0s", "before", "the", "end"] == line.split()


@pytest.mark.parametrize("width", [40, 60, 100])
def test_the_table_fits(
    expman_command: Expman,
    tmp_path: Path,
    width: int,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """Columns that matter least are left out."""
    from expman.cli.output import console

    console.cache_clear()
    request.addfinalizer(console.cache_clear)
    monkeypatch.setenv("COLUMNS", str(width))
    many(tmp_path, 4)
    shown = expman_command("show", "job", base_dir=tmp_path).out
    lines = shown.split("ranks\n")[1].splitlines()
    assert max(map(len, lines)) <= width
    assert 4 == len([line for line in lines if "running" in line])
