"""Roll-ups over ranks: what each step was like, whatever the order of the rows is."""

from __future__ import annotations

import random
import statistics
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expman.storage import rank_file
from expman.storage.rank_file import RankFile
from expman.storage.rank_rollup import join_rollups, rank_states, roll_up, whole_steps
from expman.storage.vectors import RowBlock, VectorStore

SCHEMA = pa.schema(
    [
        *((name, pa.int64()) for name in ("step", "_rank", "timestamp")),
        *(("a", pa.float64()), ("b", pa.int64())),
    ]
)


def any_rows(dice: random.Random) -> pa.Table:
    """Rows in any order, with what is missing, NaN, or there twice."""
    floats = [None, float("nan"), 1.0, -1.0, float("inf"), dice.random()]
    return pa.Table.from_pylist(
        [
            {
                "step": dice.randint(0, 6),
                "_rank": dice.randint(0, 4),
                "timestamp": 1000 * number,
                "a": dice.choice(floats),
                "b": dice.choice([None, dice.randint(0, 5), 2**62 + dice.randint(0, 5)]),
            }
            for number in range(dice.randint(0, 60))
        ],
        schema=SCHEMA,
    )


def expected(rows: list[dict[str, Any]], metric: str) -> tuple[Any, ...]:
    known = [
        (row[metric], row["_rank"])
        for row in rows
        if row[metric] is not None and row[metric] == row[metric]
    ]
    if not known:
        return (None,) * 5
    middle = float(statistics.median(value for value, _ in known))
    return (*min(known), middle, *max(known))


PARTS = ("min", "min_rank", "median", "max", "max_rank")


def parts(row: dict[str, Any], metric: str) -> tuple[Any, ...]:
    return tuple(row[f"{metric}:{part}"] for part in PARTS)


@pytest.mark.parametrize("seed", range(10))
def test_a_step_has_its_least_median_and_greatest(seed: int) -> None:
    """Of each metric, with the rank; NaN and null do not count."""
    rows = any_rows(random.Random(seed))
    found = roll_up(rows, ["a", "b"]).to_pylist()
    assert sorted(set(rows["step"].to_pylist())) == [row["step"] for row in found]
    for row in found:
        of_step = [one for one in rows.to_pylist() if one["step"] == row["step"]]
        assert len({one["_rank"] for one in of_step}) == row["ranks"]
        for metric in ("a", "b"):
            assert repr(expected(of_step, metric)) == repr(parts(row, metric))


@pytest.mark.parametrize("seed", range(10))
def test_roll_ups_can_be_joined(seed: int) -> None:
    """Ends are those of all rows; the median is that of medians, by their numbers of ranks."""
    rows = any_rows(random.Random(seed))
    half = rows.num_rows // 2
    halves = [roll_up(one, ["b"]) for one in (rows.slice(0, half), rows.slice(half))]
    joined = join_rollups(halves).to_pylist()
    assert roll_up(rows, [])["step"].to_pylist() == [row["step"] for row in joined]
    for row in joined:
        of_step = [one for one in rows.to_pylist() if one["step"] == row["step"]]
        least, least_rank, _, most, most_rank = expected(of_step, "b")
        same = [one for table in halves for one in table.to_pylist() if one["step"] == row["step"]]
        medians = [one["b:median"] for one in same for _ in range(one["ranks"])]
        known = [one for one in medians if one is not None]
        median = statistics.median(known) if known else None
        assert (least, least_rank, median, most, most_rank) == parts(row, "b")
    assert 0 == join_rollups([]).num_rows


def test_only_times_of_one_rank_are_compared() -> None:
    """Each clock has its own time of day, and a step that a rank lacks is passed over."""
    times = {0: {0: 0.0, 1: 1.0, 2: 2.0, 3: 3.0}, 1: {0: 1000.0, 1: 1002.0, 3: 1007.0}}
    rows = times_of(times)
    took, after = whole_steps(rows, 2)
    found = {(row["_rank"], row["step"]): row["_took_s"] for row in took.to_pylist()}
    assert {
        (0, 0): None,
        (0, 1): 1.0,
        (0, 3): 2.0,
        (1, 0): None,
        (1, 1): 2.0,
        (1, 3): 5.0,
    } == found
    assert {0: (3, 3_000_000), 1: (3, 1_007_000_000)} == after
    later, _ = whole_steps(times_of({0: {2: 9, 4: 5}}), 1, after)
    assert [(4, 2.0)] == [(row["step"], row["_took_s"]) for row in later.to_pylist()]


def times_of(times: dict[int, dict[int, float]]) -> pa.Table:
    """Rows of ranks at these seconds, by their steps."""
    return pa.Table.from_pylist(
        [
            {"step": step, "_rank": rank, "timestamp": int(1_000_000 * at)}
            for rank, of_rank in times.items()
            for step, at in of_rank.items()
        ]
    )


def test_steps_that_come_late_have_no_duration() -> None:
    """Training has steps 3 to 6, then all evaluate with steps 0 to 2, and again with step 4."""
    training = {step: float(step) for step in range(3, 7)}
    late = {step: 20.0 + step for step in (0, 1, 2, 4)}
    ranks = (0, 1)
    rows = pa.concat_tables(
        [times_of(dict.fromkeys(ranks, training)), times_of(dict.fromkeys(ranks, late))]
    )
    whole, after = whole_steps(rows, len(ranks))
    expected = {3: None, 4: 1.0, 5: 1.0, 6: 1.0}
    for rank in ranks:
        mine = [row for row in whole.to_pylist() if row["_rank"] == rank]
        assert expected == {row["step"]: row["_took_s"] for row in mine}
    # The same bit by bit, as a writer does it.
    _, known = whole_steps(times_of(dict.fromkeys(ranks, training)), len(ranks))
    nothing, then = whole_steps(times_of(dict.fromkeys(ranks, late)), len(ranks), known)
    assert (0, known) == (nothing.num_rows, then)
    assert after == known


# -- the file ---------------------------------------------------------------------------------


def rows_of(rank: int, first: int, count: int, keys: tuple[str, ...] = ("a", "b")) -> RowBlock:
    """Rows whose values follow from the rank and the step."""
    steps = range(first, first + count)
    columns = {"a": [0.5 * rank + step for step in steps], "b": [rank * step for step in steps]}
    return RowBlock(
        producer=f"rank-{rank}",
        first_seq=first,
        steps=list(steps),
        timestamps_ns=[1_700_000_000_000_000_000 + 10**6 * (step + rank) for step in steps],
        keys=keys,
        columns=[columns[key] for key in keys],
        fixed={"_rank": rank},
    )


def update(file: RankFile, run_dir: Path, store: VectorStore) -> None:
    """Consolidates, and does what a writer does then."""
    store.flush()
    for _ in store.consolidate():
        pass
    found = file.start()
    assert found.wait(120)
    assert None is found.error
    if found.temp is not None:
        Path(found.temp).rename(run_dir / "ranks.parquet")
        found.temp = None
    file.take(found)


def rolled_up(run_dir: Path) -> pa.Table:
    """What the file must have."""
    rows = pq.read_table(run_dir / "vectors.parquet", partitioning=None)
    place = rows.schema.get_field_index("timestamp")
    rows = rows.set_column(place, "timestamp", rows["timestamp"].cast(pa.int64()))
    took, _ = whole_steps(rows, len(rank_states(rows)))
    metrics = [name for name in ("a", "b") if name in rows.column_names]
    return roll_up(rows, metrics, took)


def read(run_dir: Path) -> pa.Table:
    return pq.read_table(run_dir / "ranks.parquet", partitioning=None)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    path = tmp_path / "exp" / "run"
    path.mkdir(parents=True)
    return path


def test_the_file_follows_the_rows(run_dir: Path) -> None:
    """It is the same whether it was made at once or bit by bit, and by one writer or two."""
    store, file = VectorStore(str(run_dir)), RankFile(str(run_dir), 1)
    for begin in range(0, 400, 40):
        for rank in range(4):
            # Rank 3 is behind the others until the last time.
            count = 40 if rank < 3 else 20 if begin < 360 else 220
            first = begin if rank < 3 else begin // 2
            store.append(rows_of(rank, first, count, ("a",) if begin < 120 else ("a", "b")))
        if begin == 200:
            file = RankFile(str(run_dir), 1)
        update(file, run_dir, store)
        assert rolled_up(run_dir).equals(read(run_dir))
    assert 400 == read(run_dir).num_rows
    before = (run_dir / "ranks.parquet").stat().st_ino
    update(file, run_dir, store)
    assert before == (run_dir / "ranks.parquet").stat().st_ino
    store.close()


def test_a_rank_that_stands_still_takes_no_memory(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps are closed without it; when its rows come, those steps have several rows to join."""
    monkeypatch.setattr(rank_file, "MOST_OPEN_CELLS", 0)
    monkeypatch.setattr(rank_file, "LEAST_OPEN_ROWS", 64)
    store, file = VectorStore(str(run_dir)), RankFile(str(run_dir), 1)
    store.append(rows_of(2, 0, 1))
    for begin in range(0, 400, 100):
        for rank in (0, 1):
            store.append(rows_of(rank, begin, 100))
        update(file, run_dir, store)
        assert file._state is not None
        assert file._state.open is not None
        assert file._state.open.num_rows <= 64
    store.append(rows_of(2, 1, 399))
    update(file, run_dir, store)
    found = read(run_dir)
    assert found.num_rows > 400
    names = ["step", "ranks", *(f"a:{part}" for part in PARTS if part != "median")]
    assert rolled_up(run_dir).select(names).equals(join_rollups([found]).select(names))
    store.close()


def test_a_run_of_one_rank_has_no_file(run_dir: Path) -> None:
    """There is nothing to roll up; nor is there without rows."""
    file = RankFile(str(run_dir), 1)
    nothing = file.start()
    assert nothing.wait(120)
    assert isinstance(nothing.error, FileNotFoundError)
    store = VectorStore(str(run_dir))
    store.append(rows_of(0, 0, 10))
    update(file, run_dir, store)
    assert ["vectors.parquet"] == sorted(path.name for path in run_dir.iterdir())
    store.close()
