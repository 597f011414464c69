"""compare and plots of thirty runs: nothing is cut, covered or looks the same that differs."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli.conftest import Expman, Result
from unit.reading.run_files import block, make_run

from expman.metadata import MetricBest

RUNS = 30
NAMES = [f"20260131_1200{number:02d}-a-name" for number in range(RUNS)]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty runs of a sweep, some of whose values are NaN."""
    base = tmp_path_factory.mktemp("sweep")
    for number, name in enumerate(NAMES):
        loss = [math.exp(-step / 20) + number / 100 for step in range(60)]
        if number == 7:
            loss[20:30] = [math.nan] * 10
        lowest = 0.00012341 + (number % 2) * 3e-8
        make_run(
            base,
            name,
            block(0, {"loss": loss}),
            experiment="sweep",
            params={"lr": 10.0**-number, "decay": lowest, "seed": 1, "hostile": f"\x1b[2J{number}"},
            vectors={"loss": loss[-1], "same": 1.0},
            best={"loss": MetricBest(min=lowest + number, min_step=1, last=loss[-1])},
        )
    make_run(base, "alone", experiment="other")
    return base


@pytest.fixture
def at_width(
    expman_command: Expman, monkeypatch: pytest.MonkeyPatch, sweep: Path
) -> Iterator[Callable[..., Result]]:
    """Calls the command in a terminal of some width."""
    from expman.cli.output import console

    def call(width: int, *arguments: object) -> Result:
        monkeypatch.setenv("COLUMNS", str(width))
        console.cache_clear()
        return expman_command(*arguments, base_dir=sweep)

    yield call
    console.cache_clear()


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_compare_of_an_experiment(at_width: Callable[..., Result], width: int) -> None:
    """Each run has a line or a paragraph, the best first; numbers and names are whole."""
    result = at_width(width, "compare", "sweep")

    assert 0 == result.code
    assert max(map(len, result.out.splitlines())) <= width
    places = [result.out.index(name) for name in NAMES]
    assert sorted(places) == places
    assert 15 == len(re.findall(r"\b0\.00012344\b", result.out))
    assert 15 <= len(re.findall(r"\b0\.00012341\b", result.out))
    assert "seed" not in result.out
    assert "\x1b" not in result.out
    assert "30 runs, sorted by loss:min; another order: --sort METRIC:min" in result.err
    assert "not shown: 1 metric with one last value in all runs" in result.err


def test_compare_with_a_filter(at_width: Callable[..., Result]) -> None:
    """A filter chooses among all runs or those of an experiment; an order is given."""
    out = at_width(200, "compare", "--where", "lr < 1e-20", "--sort", "lr").out
    assert NAMES[:20:-1] == re.findall("|".join(NAMES), out)
    few = at_width(200, "compare", "sweep", "--where", "lr >= 0.01").out
    assert ["lr", "0.01", "0.1", "1"] in [line.split() for line in few.splitlines()]


@pytest.mark.parametrize("width", [40, 200])
def test_few_runs_are_side_by_side_if_there_is_room(
    at_width: Callable[..., Result], width: int
) -> None:
    """Else each has a paragraph: no number is broken."""
    out = at_width(width, "compare", *NAMES[:4]).out
    assert 2 == len(re.findall(r"\b0\.00012344\b", out))
    assert [name for name in NAMES[:4] if name in out] == NAMES[:4]
    assert (width == 200) == ("parameters that differ" in out)


def test_a_damaged_run_of_an_experiment_is_reported(expman_command: Expman, run_base: Path) -> None:
    """The others are compared."""
    for name in "abc":
        make_run(run_base, name, params={"lr": ord(name)})
    (run_base / "exp" / "b" / "config.yaml").write_text("a: [")

    result = expman_command("compare", "exp", base_dir=run_base)

    assert 0 == result.code
    assert ["lr", "99", "97"] in [line.split() for line in result.out.splitlines()]
    assert "cannot read run" in result.err


def test_compare_as_json(at_width: Callable[..., Result]) -> None:
    """JSON has every run, whatever is shown."""
    found = json.loads(at_width(80, "compare", "sweep", "--json").out)
    assert (RUNS, RUNS) == (len(found["runs"]), len(found["params"]["lr"]))


def test_a_run_compared_with_itself(at_width: Callable[..., Result]) -> None:
    """A script may name one run twice: that is shown, and a note says why nothing differs."""
    result = at_width(80, "compare", "other/alone", "other/latest")
    assert (0, True) == (result.code, "one run" in result.err)
    assert "alone" in result.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "other"], "at least two runs"),
        (["compare"], "at least two runs"),
        (["compare", "sweep", "--sort", "los"], "--sort los: no run has"),
        (["compare", "sweep", "--where", "lrr = 1"], "did you mean 'lr'?"),
        (["compare", "swep"], "did you mean"),
    ],
)
def test_mistakes_of_compare(
    at_width: Callable[..., Result], arguments: list[str], message: str
) -> None:
    """Each one has a line that names it."""
    result = at_width(80, *arguments)
    assert (2, True) == (result.code, message in result.err), result.err


def test_a_chart_of_thirty_runs(at_width: Callable[..., Result]) -> None:
    """The legend stands below, with whole names; a gap is marked and counted."""
    out = at_width(80, "compare", "sweep", "-m", "loss").out
    chart = out[out.index("loss (10 NaN or infinite: x)") :]

    frame, legend = chart[: chart.index("step ")], chart[chart.index("step ") :]
    assert [] == [name for name in NAMES if name not in legend]
    assert [] == [name for name in NAMES if name in frame]
    assert "x" in frame
    letters = re.findall(r"^(?:.*  )?(\w)\1 2026", legend, re.MULTILINE)
    assert len(set(letters)) == len(letters)
    assert "x" not in letters


@pytest.mark.parametrize("height", [5, 8, 12, 20])
@pytest.mark.parametrize("flags", [[], ["--log"], ["--smooth", "0.9"]])
def test_axes_are_right_at_small_heights(
    at_width: Callable[..., Result], height: int, flags: list[str]
) -> None:
    """Labels are numbers that differ and descend; the chart keeps its height."""
    out = at_width(80, "plot", NAMES[3], "loss", "--height", height, *flags).out

    labels = [line.split("┤")[0].strip() for line in out.splitlines() if "┤" in line]
    numbers = list(map(float, labels))
    assert 1 <= len(numbers) == len(set(labels))
    assert sorted(numbers, reverse=True) == numbers
    assert max(8, height) >= len(out.splitlines())


@pytest.mark.parametrize("name", ["p.png", "p.svg"])
def test_pictures_of_thirty_runs(
    at_width: Callable[..., Result], tmp_path: Path, name: str
) -> None:
    """A picture has all curves and one legend; numbers on a logarithmic axis."""
    result = at_width(80, "compare", "sweep", "-o", name, "--log", "--smooth", "0.5")

    assert (0, f"{name}\n") == (result.code, result.out)
    data = (tmp_path / name).read_bytes()
    assert data.startswith(b"\x89PNG" if name == "p.png" else b"<?xml")
