"""The catalog: what it says is what the directories say, whatever happened to either."""

from __future__ import annotations

import json
import math
import os
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from unit.reading.run_files import block, make_run

import expman
from expman import catalog
from expman.catalog import compaction
from expman.errors import StorageError
from expman.models import RunStatus
from expman.reading.catalog_index import CatalogIndex
from expman.reading.fields import RunFields, known_values
from expman.storage import catalog_files
from expman.storage.catalog_files import read_manifest

LEAST = 4
COLUMNS = ["run", "status", "started_at", "duration_s", "params.lr", "params.m.n", "loss:min"]


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "LEAST_RUNS", LEAST)


def make_runs(base: Path, count: int, experiment: str = "exp", first: int = 0) -> None:
    for number in range(first, first + count):
        make_run(
            base,
            f"r{number:04d}",
            block(0, {"loss": [number + step / 10 for step in range(3)]}),
            experiment=experiment,
            started_at=f"2026-01-31T12:{number // 60:02d}:{number % 60:02d}.000000Z",
            finished_at="2026-01-31T14:00:00.000000Z",
            tags=[f"study:{number % 2}"],
            group=f"g{number % 3}",
            params={"lr": number / 10, "m": {"n": number}},
        )


def listing(base: Path) -> list[str]:
    return [run.path for run in expman.runs(base)]


def without_catalog(base: Path) -> Path:
    """The same base directory, by a path where no catalog is found."""
    there = base.parent / f"{base.name}-plain"
    there.mkdir(exist_ok=True)
    for entry in base.iterdir():
        link = there / entry.name
        if not entry.name.startswith(".") and not link.exists():
            link.symlink_to(entry)
    return there


def same_everywhere(base: Path) -> None:
    """All that readers return is the same with and without the catalog."""
    plain = without_catalog(base)
    with_it, without = expman.runs(base), expman.runs(plain)
    assert [run.name for run in without] == [run.name for run in with_it]
    for filters in (
        {"status": "finished"},
        {"tags": "study:1"},
        {"group": "g2"},
        {"since": "2026-01-31T12:00:10Z"},
        {"experiment": "exp"},
    ):
        expected = [run.name for run in expman.runs(plain, **filters)]  # type: ignore[arg-type]
        assert expected == [run.name for run in expman.runs(base, **filters)]  # type: ignore[arg-type]
    if without:
        assert without.table(COLUMNS).equals(with_it.table(COLUMNS))
        names = [run.name for run in without.sorted_by("loss:min")]
        assert names == [run.name for run in with_it.sorted_by("loss:min")]
        for columns in (None, ["step", "loss"], ["loss", "_seq", "_producer"]):
            for last in (None, 2):
                expected_rows = expman.vectors(without, columns, last=last)
                assert expected_rows.equals(expman.vectors(with_it, columns, last=last))
        for steps in (10, range(10, 30), slice(None, 20), [0, 20], range(100, 200)):
            for columns in (None, ["loss"], ["step", "loss"]):
                expected_rows = expman.vectors(without, columns, steps=steps)
                assert expected_rows.equals(expman.vectors(with_it, columns, steps=steps))
        expected_rows = expman.vectors(without, ["loss"], steps=slice(10, 30), last=1)
        assert expected_rows.equals(expman.vectors(with_it, ["loss"], steps=slice(10, 30), last=1))
        expected_rows = expman.vectors(without, ["step", "loss"], merge_steps=True)
        assert expected_rows.equals(expman.vectors(with_it, ["step", "loss"], merge_steps=True))
    drop = ["experiment"]
    assert catalog.open(plain).drop_columns(drop).equals(catalog.open(base).drop_columns(drop))


def test_readers_return_the_same_with_and_without_it(tmp_path: Path) -> None:
    """Lists, filters, tables, orders and rows do not depend on the catalog."""
    base = tmp_path / "base"
    make_runs(base, 10)
    make_runs(base, 3, "other", first=100)
    report = catalog.build(base)
    assert (13, 13, 1, 10) == (report.runs, report.read, report.parts, report.compacted)
    same_everywhere(base)
    catalog.build(base)
    same_everywhere(base)


def test_a_second_call_reads_only_what_is_new(tmp_path: Path) -> None:
    """Nothing new: nothing is read or written. New, changed and removed runs: only they are."""
    make_runs(tmp_path, 8)
    catalog.build(tmp_path)
    before = read_manifest(str(tmp_path))
    assert 0 == catalog.build(tmp_path).read
    assert before == read_manifest(str(tmp_path))
    make_runs(tmp_path, 3, first=8)
    make_runs(tmp_path, 1)  # r0000 is written anew
    os.rename(tmp_path / "exp" / "r0005", tmp_path / ".trash")
    report = catalog.build(tmp_path)
    assert (4, 2, 10) == (report.read, report.removed, report.runs)
    assert 10 == len(expman.runs(tmp_path))


def test_small_files_are_joined_as_runs_come(tmp_path: Path) -> None:
    """Few runs stay where they are; as many as a file has are joined with it."""
    base = tmp_path / "base"
    made = 0
    for more, parts, compacted in ((4, 1, 4), (2, 1, 4), (2, 1, 8), (4, 2, 12), (4, 1, 16)):
        make_runs(base, more, first=made)
        made += more
        report = catalog.build(base)
        assert (made, parts, compacted) == (report.runs, report.parts, report.compacted)
    same_everywhere(base)


def test_a_run_of_very_many_rows_stays_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows would all be in memory at once, for nothing: its own file is large enough."""
    monkeypatch.setattr(compaction, "MOST_ROWS", 5)
    base = tmp_path / "base"
    make_runs(base, 8)
    rows = {"loss": [float(number) for number in range(6)]}
    make_run(base, "long", block(0, rows), rows_written=6)
    report = catalog.build(base)
    assert (9, 8) == (report.runs, report.compacted)
    same_everywhere(base)


def test_a_part_of_which_little_is_left_is_given_up(tmp_path: Path) -> None:
    """Rows of runs that are gone do not stay for ever."""
    base = tmp_path / "base"
    make_runs(base, 8)
    catalog.build(base)
    for number in range(5):
        os.rename(base / "exp" / f"r{number:04d}", tmp_path / f"gone-{number}")
    report = catalog.build(base)
    assert (3, 0, 0) == (report.runs, report.parts, report.compacted)
    same_everywhere(base)


def test_a_live_run_is_read_from_its_directory(tmp_path: Path) -> None:
    """It is in no catalog, and in every list."""
    make_runs(tmp_path, 3)
    make_run(tmp_path, "live", status=RunStatus.RUNNING, started_at="2026-02-01T00:00:00.000000Z")
    report = catalog.build(tmp_path)
    assert (3, 1) == (report.runs, report.live)
    assert ["live", "r0002", "r0001", "r0000"] == [run.name for run in expman.runs(tmp_path)]
    assert ["RUNNING", *["FINISHED"] * 3] == catalog.open(tmp_path)["status"].to_pylist()


def test_a_run_that_changed_is_read_from_its_directory(tmp_path: Path) -> None:
    """So is one whose parameters or rows alone were replaced."""
    make_runs(tmp_path, 8)
    catalog.build(tmp_path)
    found = expman.runs(tmp_path)
    make_run(tmp_path, "r0003", status=RunStatus.FAILED, started_at="2026-03-01T00:00:00.000000Z")
    assert "r0003" == expman.runs(tmp_path)[0].name
    assert ["r0003"] == [run.name for run in expman.runs(tmp_path, status="failed")]
    (tmp_path / "exp" / "r0004" / "config.yaml").write_text("lr: 7.0\n")
    other = tmp_path / "exp" / "r0005"
    pq.write_table(pq.read_table(other / "vectors.parquet").slice(0, 1), other / "new")
    os.rename(other / "new", other / "vectors.parquet")
    table = found.table(["run", "status", "params.lr"]).to_pylist()
    by_run = {row["run"]: row for row in table}
    assert ("FAILED", 7.0) == (by_run["r0003"]["status"], by_run["r0004"]["params.lr"])
    assert 1 == expman.vectors([run for run in found if run.name == "r0005"]).num_rows


def test_values_that_json_does_not_have_are_exact(tmp_path: Path) -> None:
    """NaN, infinities, dates and texts that look like them come back as they were."""
    base = tmp_path / "base"
    params = {"a": math.inf, "b": "NaN", "c": [1, {"text": "x"}], "lr": 1, "m": {"n": 2**70}}
    make_run(base, "odd", block(0, {"loss": [math.nan]}), params=params)
    make_run(base, "date", block(0, {"loss": [1.0]}), params={"lr": "2026-01-31"})
    catalog.build(base)
    columns = ["run", "params.a", "params.b", "params.c", "params.lr", "loss:last"]
    expected = expman.runs(without_catalog(base)).table(columns)
    assert str(expected) == str(expman.runs(base).table(columns))
    found = catalog.open(base).to_pylist()[0]
    assert {"a": "Infinity", "b": {"text": "NaN"}} == {
        key: json.loads(found["params"])[key] for key in "ab"
    }


@pytest.mark.parametrize("damage", ["manifest", "runs", "rows", "all"])
def test_a_damaged_catalog_is_as_none(tmp_path: Path, damage: str) -> None:
    """Readers read the directories, and the next build makes a good one."""
    base = tmp_path / "base"
    make_runs(base, 5)
    catalog.build(base)
    for path in (base / ".catalog").iterdir():
        if damage == "all" or path.name.startswith(damage):
            path.write_bytes(b"rubbish")
    same_everywhere(base)
    catalog.build(base, anew=damage == "rows")
    same_everywhere(base)
    assert CatalogIndex.open(str(base)) is not None


def test_a_catalog_with_other_columns_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that an earlier version made, for example."""
    base = tmp_path / "base"
    make_runs(base, 5)
    catalog.build(base)
    (runs,) = (base / ".catalog").glob("runs-*.parquet")
    table = pq.read_table(runs)
    pq.write_table(table.drop_columns(["host"]), runs)
    same_everywhere(base)
    make_runs(base, 1, first=5)
    assert (6, 6) == (lambda r: (r.runs, r.read))(catalog.build(base))
    same_everywhere(base)


class _StopError(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("nth", range(4))
def test_a_build_that_is_killed_leaves_the_version_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    """Wherever it was; the next build is complete, and what was left goes with time."""
    base = tmp_path / "base"
    make_runs(base, 5)
    catalog.build(base)
    make_runs(base, 8, first=5)
    points: list[str] = []

    def stop(point: str) -> None:
        points.append(point)
        if len(points) > nth:
            raise _StopError(point)

    monkeypatch.setattr(catalog_files, "hit", stop)
    with pytest.raises(_StopError):
        catalog.build(base)
    monkeypatch.undo()
    same_everywhere(base)
    assert 13 == catalog.build(base).runs
    same_everywhere(base)
    manifest = read_manifest(str(base))
    assert manifest is not None
    catalog_files.remove_unnamed(str(base), manifest, keep_s=-1)
    left = {entry.name for entry in (base / ".catalog").iterdir()}
    assert manifest.names | {"manifest.json"} == left
    same_everywhere(base)


def test_of_two_builders_the_later_one_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each version is whole, and no file of the winner is removed by the other."""
    base = tmp_path / "base"
    make_runs(base, 5)

    def build_another(point: str) -> None:
        if point == "catalog-before-manifest":
            monkeypatch.undo()
            make_runs(base, 5, first=5)
            assert 10 == catalog.build(base).runs

    monkeypatch.setattr(catalog_files, "hit", build_another)
    assert 5 == catalog.build(base).runs
    same_everywhere(base)
    assert 10 == catalog.build(base).runs


def test_a_reader_of_the_version_before_goes_on(tmp_path: Path) -> None:
    """A list that was made before a build reads rows after it."""
    base = tmp_path / "base"
    make_runs(base, 5)
    catalog.build(base)
    found = expman.runs(base)
    make_runs(base, 5, first=5)
    manifest = (catalog.build(base), read_manifest(str(base)))[1]
    assert manifest is not None
    catalog_files.remove_unnamed(str(base), manifest, keep_s=-1)
    assert 15 == expman.vectors(found, ["loss"]).num_rows
    assert 5 == found.table(["run", "loss:min"]).num_rows


def test_a_run_of_a_list_can_be_pickled(tmp_path: Path) -> None:
    """Its catalog stays behind."""
    make_runs(tmp_path, 1)
    catalog.build(tmp_path)
    (run,) = expman.runs(tmp_path)
    assert run == pickle.loads(pickle.dumps(run))


def test_names_are_data(tmp_path: Path) -> None:
    """A name that is no UTF-8 stays outside, and in every list; all others are in."""
    base = tmp_path / "base"
    names = ["it's", "a b", "ünï", "line\nbreak", "100%", "-x", "b"]
    for number, name in enumerate(names):
        loss = block(0, {"loss": [float(number)], "a/b:c": ["text"]})
        make_run(base, name, loss, started_at=f"2026-01-31T12:00:0{number}.000000Z")
    names[-1] = os.fsdecode(b"b\xff")
    os.rename(base / "exp" / "b", base / "exp" / names[-1])
    report = catalog.build(base)
    assert (len(names) - 1, 1) == (report.runs, report.unreadable)
    found = expman.runs(base)
    assert names[::-1] == [run.name for run in found]
    table = expman.vectors(found[1:], ["loss"])  # a table has no such name as the first one's
    assert list(range(len(names) - 1))[::-1] == table["loss"].to_pylist()
    assert len(names) == catalog.open(base).num_rows
    assert "b\\udcff" == catalog.open(base)["run"][0].as_py()


def test_parts_are_plain_parquet(tmp_path: Path) -> None:
    """Any tool reads the rows, sorted by run, and the runs."""
    make_runs(tmp_path, 8)
    catalog.build(tmp_path)
    (part,) = (tmp_path / ".catalog").glob("rows-*.parquet")
    table = pq.read_table(part)
    assert ["_experiment", "_run", "step", "timestamp", "_producer", "_seq", "loss"] == (
        table.column_names
    )
    names = table["_run"].to_pylist()
    assert sorted(names, reverse=True) == names
    assert pq.ParquetFile(part).metadata.row_group(0).column(1).is_stats_set
    (runs,) = (tmp_path / ".catalog").glob("runs-*.parquet")
    assert pa.types.is_string(pq.read_schema(runs).field("best").type)


def test_without_a_base_directory_it_raises(tmp_path: Path) -> None:
    """As readers do."""
    with pytest.raises(StorageError):
        catalog.build(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_runs_without_rows_are_in_the_catalog(tmp_path: Path) -> None:
    """A run that logged no row stands at any place among the others."""
    for name, rows in (("a", 0), ("b", 2), ("c", 0), ("d", 1)):
        blocks = [block(0, {"x": [1.0] * rows})] if rows else []
        make_run(tmp_path, name, *blocks)
    for name in "ef":
        make_run(tmp_path, name, experiment="empty")

    catalog.build(tmp_path)

    runs = expman.runs(tmp_path)
    assert {**dict.fromkeys("abcdef", 0), "b": 2, "d": 1} == {
        run.name: expman.vectors([run]).num_rows for run in runs
    }
    assert 3 == expman.vectors(runs, ["x"]).num_rows


def test_values_of_many_runs_are_those_of_each(tmp_path: Path) -> None:
    """The way for many and the way for one give the same, also for runs that changed since."""
    base = tmp_path / "base"
    make_runs(base, 5)
    names = ["run", "path", "status", "tags", "loss", "lr", "loss:min", "params.lr", "rows", "zzz"]
    catalog.build(base)
    for settled in (False, True):
        runs = expman.runs(base)
        if settled:
            runs.settle()
        each = [[RunFields(run).value(name) for name in names] for run in runs]
        assert each == list(known_values(runs, names))
        files = [[RunFields(expman.Run(run.path)).value(name) for name in names] for run in runs]
        assert files == each
    (base / "exp" / runs[0].name / "config.yaml").write_text("lr: 99\n")
    assert 99 == next(known_values(expman.runs(base), ["params.lr"]))[0]
