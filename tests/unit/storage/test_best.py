"""Min, max and last of each metric: exact, through restarts, and bounded."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from msgspec.structs import replace
from unit.storage.storage_model import block, same

from expman.metadata import MetricBest, RunMetadata
from expman.models import RunStatus
from expman.storage import best as best_module
from expman.storage import resume
from expman.storage.best import BestValues, last_valid
from expman.storage.contents import Contents
from expman.storage.vectors import RowBlock, VectorStore
from expman.storage.yamlfile import RunFile

NAN, INF = math.nan, math.inf


def summary(store: VectorStore) -> RunMetadata:
    meta = RunMetadata(name="r", experiment="e", status=RunStatus.RUNNING)
    store.summarize(meta)
    return meta


def expected(values: list[Any], steps: list[Any]) -> MetricBest | None:
    """What a loop over all rows finds."""
    there = [(value, step) for value, step in zip(values, steps, strict=True) if value is not None]
    if not there:
        return None
    numbers = [value for value, _ in there if value == value]
    low, high = (min(numbers), max(numbers)) if numbers else (None, None)
    at = dict(reversed(there))
    low_step = None if low is None else at[low]
    high_step = None if high is None else at[high]
    odd = [(value, step) for value, step in there if not math.isfinite(value)]
    return MetricBest(low, low_step, high, high_step, *there[-1], *(odd[0] if odd else ()))


def alike(left: MetricBest | None, right: MetricBest | None) -> bool:
    """Equal, with NaN equal to itself and 0.0 to -0.0."""
    if left is None or right is None:
        return left is right
    if (left.min, left.max) != (right.min, right.max) or not same(left.last, right.last):
        return False
    if not same(left.nonfinite, right.nonfinite):
        return False
    steps = [
        (one.min_step, one.max_step, one.last_step, one.nonfinite_step) for one in (left, right)
    ]
    return steps[0] == steps[1]


@pytest.mark.parametrize("rows", [1, 3, 64, 65, 1000])
@pytest.mark.parametrize(
    ("kind", "pool"),
    [
        (pa.float64(), [0.5, 1.5, 2.5]),
        (pa.float64(), [-0.5, -1.5, -5e-324]),
        (pa.float64(), [-1.0, 0.0, -0.0, 2.0]),
        (pa.float64(), [-1.0, NAN, 2.0, -NAN]),
        (pa.float64(), [INF, -INF, 1e308]),
        (pa.float64(), [-INF, -1.0]),
        (pa.float64(), [INF]),
        (pa.float64(), [NAN]),
        (pa.float64(), [-NAN]),
        (pa.float64(), [None, 3.0, NAN, INF]),
        (pa.float64(), [None, 3.0, -3.0]),
        (pa.int64(), [2**63 - 1, -(2**63), 0, None]),
        (pa.bool_(), [True, False, None]),
    ],
)
def test_a_batch_counts_as_a_loop_over_its_rows_does(
    rows: int, kind: pa.DataType, pool: list[Any]
) -> None:
    """Short and long batches, signs, infinities, NaN and nulls; whole arrays and slices."""
    seed = random.Random(rows)
    for _ in range(20):
        values = seed.choices(pool, k=rows)
        steps = seed.choices([None, 1, 2, 3], k=rows)
        for cut in (0, rows // 3):
            best = BestValues()
            best.add(pa.array(steps, pa.int64())[cut:], [("m", pa.array(values, kind)[cut:])])
            assert alike(expected(values[cut:], steps[cut:]), best.metrics.get("m"))


def test_the_last_valid_row() -> None:
    """Whichever row it is."""
    for size in (1, 2, 7, 8, 9, 100):
        for last in range(size):
            values = [0.0 if row in (0, last) else None for row in range(size)]
            values[0] = 0.0 if last == 0 or size % 2 else None
            assert last == last_valid(pa.array(values, pa.float64()))


def test_of_equal_values_the_first_counts(tmp_path: Path) -> None:
    """Within a batch, and from batch to batch."""
    store = VectorStore(str(tmp_path))
    for first in (0, 3):
        store.append(block(first, {"m": [1.0, 2.0, 1.0]}))
        store.flush()
    assert MetricBest(1.0, 0, 2.0, 10, 1.0, 50) == summary(store).best["m"]
    store.close()


def test_only_numbers_have_a_best_value(tmp_path: Path) -> None:
    """A metric with text and numbers has that of its numbers; the rank is no metric."""
    store = VectorStore(str(tmp_path))
    columns = {"note": ["a", "b"], "mixed": ["a", 3], "none": [None, None]}
    store.append(replace(block(0, columns), fixed={"_rank": 0}))
    store.flush()
    assert {"mixed": MetricBest(3, 10, 3, 10, 3, 10)} == summary(store).best
    assert "_rank" not in summary(store).vectors
    store.close()


def rows_of(seqs: range, values: list[float | None]) -> RowBlock:
    return block(seqs.start, {"m": values[seqs.start : seqs.stop], "n": list(seqs)})


@pytest.mark.parametrize("earlier", [False, True], ids=["", "earlier-version"])
def test_a_writer_that_takes_over_goes_on(
    tmp_path: Path, earlier: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows in the file, in the tail, in both, and such that are logged again: each counts once."""
    if earlier:  # whose footers have no best values
        whole = Contents.footer
        monkeypatch.setattr(
            Contents,
            "footer",
            lambda self, rows: {k: v for k, v in whole(self, rows).items() if k != "expman.best"},
        )
    else:  # no row of the file is read
        monkeypatch.delattr(resume, "_read_best")
    seed = random.Random(5)
    values = [seed.choice([None, NAN, seed.uniform(-9, 9)]) for _ in range(60)]
    for start in range(0, 60, 10):
        store = VectorStore(str(tmp_path))
        store.append(rows_of(range(max(0, start - 7), start + 5), values))
        store.flush()
        if start % 20 == 0:
            for _ in store.consolidate():
                pass
        store.append(rows_of(range(start + 5, start + 10), values))
        store.flush()
        shown = summary(store).best
        store.close()
        seen = values[: start + 10]
        steps = [10 * seq for seq in range(start + 10)]
        assert alike(expected(seen, steps), shown["m"])
        assert MetricBest(0, 0, start + 9, steps[-1], start + 9, steps[-1]) == shown["n"]


def test_without_a_footer_of_ours_the_rows_are_read(tmp_path: Path) -> None:
    """A vectors.parquet that says nothing of its rows is read."""
    store = VectorStore(str(tmp_path))
    store.append(block(0, {"m": [3.0, NAN, 1.0]}))
    store.finish()
    path = tmp_path / "vectors.parquet"
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path, store_schema=False)
    store = VectorStore(str(tmp_path))
    assert alike(MetricBest(1.0, 20, 3.0, 0, 1.0, 20, NAN, 10), summary(store).best["m"])
    store.close()


def test_the_first_number_that_is_not_finite_stays(tmp_path: Path) -> None:
    """Through batches, a rewrite and a successor; run.yaml has it only where there is one."""
    for start, values in ((0, [1.0, 2.0]), (2, [INF, NAN]), (4, [-INF, 1.0])):
        store = VectorStore(str(tmp_path))
        store.append(block(start, {"m": values, "n": [0.5, 1.5]}))
        store.finish()
        store.close()
    meta = summary(store)
    assert (INF, 20) == (meta.best["m"].nonfinite, meta.best["m"].nonfinite_step)
    RunFile(str(tmp_path)).write(meta)
    lines = (tmp_path / "run.yaml").read_text().splitlines()
    assert ["m"] == [line.split(":")[0].strip() for line in lines if "nonfinite" in line]
    assert meta.best == RunFile(str(tmp_path)).read().best


def test_a_footer_without_the_first_that_is_not_finite() -> None:
    """An earlier version wrote it: the rest is taken as it is."""
    found = BestValues.decode(b'[false, {"m": [1.0, 1, 2.0, 2, 1.5, 3]}]')
    assert found is not None
    assert {"m": MetricBest(1.0, 1, 2.0, 2, 1.5, 3)} == found.metrics
    assert BestValues.decode(b'[false, {"m": [1.0, 1, 2.0]}]') is None


def test_very_many_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first ones are kept, now and after a restart; the others are counted."""
    monkeypatch.setattr(best_module, "MAX_METRICS", 3)
    store = VectorStore(str(tmp_path))
    store.append(block(0, {name: [1.0] for name in "abcde"}))
    store.finish()
    assert (["a", "b", "c"], 2) == (list(summary(store).best), summary(store).best_left_out)
    monkeypatch.undo()
    store = VectorStore(str(tmp_path))
    store.append(block(1, {name: [0.0] for name in "cdef"}))
    store.flush()
    meta = summary(store)
    assert (["a", "b", "c"], 3) == (list(meta.best), meta.best_left_out)
    assert MetricBest(0.0, 10, 1.0, 0, 0.0, 10) == meta.best["c"]
    store.close()


def test_very_long_names(tmp_path: Path) -> None:
    """Their room is bounded, too."""
    store = VectorStore(str(tmp_path))
    names = [f"{number}" * 100_000 for number in range(8)]
    store.append(block(0, {name: [1.0] for name in names}))
    store.flush()
    assert (5, 3) == (len(summary(store).best), summary(store).best_left_out)
    store.close()


def test_run_yaml_has_a_line_for_each_metric(tmp_path: Path) -> None:
    """Every reader of YAML finds a mapping, and ours finds what was written."""
    best = {
        "loss": MetricBest(-INF, 3, 1e-05, None, NAN, 7),
        "a: b": MetricBest(2**63 - 1, 3, True, 4, 5, 2**40),
        "x" * 300: MetricBest(last=NAN),
        "long": MetricBest(*[-1.2345678901234567e-300, 10**15] * 3),
    }
    meta = RunMetadata(name="r", experiment="e", best=best, best_left_out=2)
    RunFile(str(tmp_path)).write(meta)
    found = RunFile(str(tmp_path)).read()
    assert list(best) == list(found.best)
    assert all(alike(best[name], found.best[name]) for name in best)
    text = (tmp_path / "run.yaml").read_text()
    plain = yaml.safe_load(text)
    assert {"min": -INF, "min_step": 3, "max": 1e-05} == {
        key: plain["best"]["loss"][key] for key in ("min", "min_step", "max")
    }
    assert 2 == plain["best_left_out"]
    lines = [line for line in text.splitlines() if "min_step" in line]
    assert 4 == len(lines)
    assert all("last_step" in line for line in lines)


def test_lack_of_memory_costs_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where best values cannot be found now, the rows that were written stay written, once."""

    def fail(self: BestValues) -> None:
        raise MemoryError

    monkeypatch.setattr(best_module, "MAX_HELD_BATCHES", 0)
    store = VectorStore(str(tmp_path / "r"))
    with monkeypatch.context() as patch:
        patch.setattr(BestValues, "_settle", fail)
        for first in (0, 2):
            store.append(block(first, {"x": [first + 5.0, first + 6.0]}))
        with pytest.raises(MemoryError):
            store.flush()
    store.append(block(4, {"x": [1.0, 2.0]}))
    store.finish()
    assert [5.0, 6.0, 7.0, 8.0, 1.0, 2.0] == pq.read_table(tmp_path / "r" / "vectors.parquet")[
        "x"
    ].to_pylist()
    best = summary(store).best["x"]
    assert (1.0, 8.0, 2.0) == (best.min, best.max, best.last)
    store.close()
