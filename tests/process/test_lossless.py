"""What is logged through LoggingEngine comes back by plain pyarrow, value for value."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from run_files import log_lines, rows, run_yaml, table
from unit.storage.storage_model import same

from expman import ExperimentConfig, LoggingEngine


def logged(run_base: Path, each: list[dict[str, Any]], **settings: Any) -> str:
    """Logs the rows, whose steps are their numbers, and gives the run's directory."""
    with LoggingEngine(ExperimentConfig("lossless", str(run_base), **settings)) as engine:
        for step, row in enumerate(each):
            engine.log_vector(row, step)
    return engine.run_dir


def check(run_dir: str, expected: list[dict[str, Any]]) -> None:
    """Each row is there, in its place, with its values and their kinds; nothing else is."""
    found = rows(run_dir)
    assert list(range(len(expected))) == [step for step, _ in found]
    for wanted, (step, there) in zip(expected, found, strict=True):
        assert wanted.keys() == there.keys(), step
        assert all(same(wanted[key], there[key]) for key in wanted), (step, wanted, there)


@pytest.mark.parametrize(
    "late", [100_000, pytest.param(1_000_000, marks=[pytest.mark.soak, pytest.mark.timeout(600)])]
)
def test_a_metric_that_first_appears_late(run_base: Path, late: int) -> None:
    """It is null in the rows before, and none of those is missing or changed."""
    with LoggingEngine(ExperimentConfig("lossless", str(run_base))) as engine:
        for step in range(late):
            engine.log_vector({"loss": step / 8, "n": step}, step)
        engine.log_vector({"loss": -1.0, "n": -1, "late": 0.5, "note": "here"}, late)
        engine.log_vector({"late": 0.25}, late + 1)
    found = table(engine.run_dir)
    assert late + 2 == found.num_rows
    assert pa.array(range(late + 2)).equals(found["step"].combine_chunks())
    assert pa.array(range(late + 2)).equals(found["_seq"].combine_chunks())
    assert found["loss"].to_pylist() == [step / 8 for step in range(late)] + [-1.0, None]
    assert found["n"].to_pylist() == [*range(late), -1, None]
    assert (late, [0.5, 0.25]) == (
        found["late"].null_count,
        found["late"].drop_null().to_pylist(),
    )
    assert ["here", None] == found["note"].slice(late).to_pylist()
    times = found["timestamp"].cast(pa.int64()).to_pylist()
    assert sorted(times) == times


FLOATS = [
    *(0.0, -0.0, 0.1, 1e308, -1e308, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308),
    *(math.nan, math.inf, -math.inf, 2.0**53, 1 / 3),
]


def test_floats(run_base: Path) -> None:
    """Every float64 is a value: NaN, infinities, -0.0, the smallest, the largest."""
    expected = [{"x": value} for value in FLOATS]
    run_dir = logged(run_base, expected)
    check(run_dir, expected)
    assert 0 == table(run_dir)["x"].null_count


def test_random_floats_bit_by_bit(run_base: Path) -> None:
    """All 64 bits arrive."""
    numbers = random.Random(7)
    scale = range(-300, 301)
    expected = [{"x": numbers.gauss(0, 1) * 10.0 ** numbers.choice(scale)} for _ in range(5000)]
    run_dir = logged(run_base, expected)
    assert [row["x"].hex() for row in expected] == [
        value.hex() for value in table(run_dir)["x"].to_pylist()
    ]


def test_integers(run_base: Path) -> None:
    """Integers stay integers over the whole range of int64."""
    wanted = [0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), *(2**n for n in range(63))]
    expected = [{"n": value} for value in wanted]
    run_dir = logged(run_base, expected)
    check(run_dir, expected)
    assert pa.int64() == table(run_dir).schema.field("n").type


def test_booleans_and_text(run_base: Path) -> None:
    """Booleans are no integers, and text is text, whatever it looks like."""
    texts = ["", "no", "1", "nan", "null", " ", "a\nb", "\0", "größe", "🎉", "x" * 10_000]
    expected = [{"b": n % 2 == 0, "t": text} for n, text in enumerate(texts)]
    run_dir = logged(run_base, expected)
    check(run_dir, expected)
    assert [pa.bool_(), pa.string()] == [table(run_dir).schema.field(name).type for name in "bt"]


def test_kinds_that_meet_in_one_metric(run_base: Path) -> None:
    """A number widens, text goes beside it: no value of any row is lost."""
    given = [1, 2.5, True, "odd", math.nan, 2**53 + 1, "", False]
    run_dir = logged(run_base, [{"x": value} for value in given])
    found = table(run_dir)
    wanted = [1.0, 2.5, 1.0, None, math.nan, 2.0**53, None, 0.0]
    assert all(map(same, wanted, found["x"].to_pylist()))
    assert [None, None, None, "odd", None, None, "", None] == found["x__text"].to_pylist()
    [warning] = log_lines(run_dir)
    assert "9007199254740993" in warning


def test_five_thousand_metrics(run_base: Path) -> None:
    """Wide rows, whole and in parts, come back."""
    width = 5000
    names = [f"layer{n // 10}/weight{n % 10}" for n in range(width)]
    whole = [{name: float(n + turn) for n, name in enumerate(names)} for turn in range(3)]
    parts = [dict.fromkeys(names[n : n + 10], n) for n in range(0, width, 500)]
    expected: list[dict[str, Any]] = [*whole, *({k: float(v) for k, v in p.items()} for p in parts)]
    run_dir = logged(run_base, [*whole, *parts])
    check(run_dir, expected)
    assert names == table(run_dir).column_names[4:]
    assert width == len(run_yaml(run_dir)["vectors"])


def test_a_wide_row_in_a_small_buffer(run_base: Path) -> None:
    """Rows that fill whole terms arrive, too."""
    expected = [{f"m{n}": float(n * turn) for n in range(1000)} for turn in range(50)]
    check(logged(run_base, expected, max_buffer_bytes=256 * 1024), expected)


def test_rows_with_different_metrics(run_base: Path) -> None:
    """Random sets of metrics in random order: null exactly where nothing was logged."""
    numbers = random.Random(3)
    make = {
        "f": numbers.random,
        "i": lambda: numbers.randint(-(2**63), 2**63 - 1),
        "b": lambda: numbers.random() < 0.5,
        "t": lambda: "".join(numbers.choices("abü\n", k=numbers.randint(0, 5))),
    }
    metrics = [f"{kind}{n}" for kind in make for n in range(5)]
    expected = []
    for _ in range(3000):
        names = numbers.sample(metrics, numbers.randint(0, 8))
        expected.append({name: make[name[0]]() for name in names})
    check(logged(run_base, expected, flush_interval_rows=97), expected)


def test_what_run_yaml_says_is_the_latest(run_base: Path) -> None:
    """Latest values keep their kinds, NaN and infinities too."""
    last = {"f": 0.1, "nan": math.nan, "inf": -math.inf, "i": 2**63 - 1, "b": True, "t": "1e5"}
    run_dir = logged(run_base, [{key: value for key, value in last.items() if key != "b"}, last])
    found = run_yaml(run_dir)["vectors"]
    assert last.keys() == found.keys()
    assert all(same(last[key], found[key]) for key in last)
