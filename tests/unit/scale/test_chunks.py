"""Rows of many runs by chunks are those of all runs at once; jobs may be done twice."""

from __future__ import annotations

import pickle
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from scale.some_runs import cataloged, make_runs, parts
from unit.reading.run_files import block, make_run

import expman
from expman import catalog
from expman.errors import StorageError
from expman.importers import formats
from expman.importers.homes import new_home
from expman.importers.importing import import_by_jobs
from expman.scale import ray
from expman.scale.chunks import chunks_of, columns_of, fitting, rows_of

DATA = Path(__file__).parents[2] / "data" / "imports"


def elsewhere(function: Callable[[Any], Any], jobs: Iterable[Any], /) -> Iterator[Any]:
    """Does jobs as other processes would, and each of them twice."""
    for job in jobs:
        work, arguments = pickle.dumps(function), pickle.dumps(job)
        pickle.loads(work)(pickle.loads(arguments))
        yield pickle.loads(pickle.dumps(pickle.loads(work)(pickle.loads(arguments))))


@pytest.mark.parametrize("columns", [None, ["loss"], ["note", "loss", "_seq", "step"], ["none"]])
def test_rows_by_chunks(tmp_path: Path, columns: list[str] | None) -> None:
    """Also where a metric is an integer, a float or a text, and in some runs only."""
    make_runs(tmp_path)
    large = block(0, {"loss": [2**60 + 1]})
    for name in ("large", "alone"):
        make_run(tmp_path, name, large, started_at="2020-01-31T12:00:00.000000Z")
    catalog.build(tmp_path)
    found = expman.runs(tmp_path)
    chunks = chunks_of(tmp_path, 7)
    assert [("exp", "alone")] == chunks[-1].names  # its integers are floats beside all others
    schema = fitting((one for some in elsewhere(columns_of, chunks) for one in some), columns)
    together = pa.concat_tables(rows_of(chunk, columns, schema) for chunk in chunks)
    names = ["experiment", "run"]
    if columns == ["none"]:
        assert names == together.column_names
        return
    expected = expman.vectors(found, columns)
    assert expected["run"].cast(pa.string()).equals(together["run"])
    assert expected.drop_columns(names).equals(together.drop_columns(names))


def test_a_catalog_by_jobs(tmp_path: Path) -> None:
    """It is that of one process; what a job that was done twice has left is in no list."""
    make_runs(tmp_path)
    report = catalog.build(tmp_path, job_map=elsewhere)
    assert (40, 1, 35) == (report.runs, report.parts, report.compacted)
    found, rows = cataloged(tmp_path), parts(tmp_path)
    catalog.build(tmp_path, anew=True)
    assert (found, rows) == (cataloged(tmp_path), parts(tmp_path))


def test_an_error_of_a_job(tmp_path: Path) -> None:
    """The catalog is as it was before."""
    make_runs(tmp_path)

    def fail(function: object, jobs: object, /) -> Iterator[Any]:
        raise StorageError("rows", "No space left on device")

    with pytest.raises(StorageError, match="No space"):
        catalog.build(tmp_path, job_map=fail)
    assert not list((tmp_path / ".catalog").glob("manifest*"))


def test_an_import_by_jobs(tmp_path: Path) -> None:
    """Runs of one name get names of their own; repeating it changes nothing."""
    home = tmp_path / "e"
    (home / "torch").mkdir(parents=True)
    (sources,) = formats.find(str(DATA / "tensorboard"), Counter()).values()
    for is_first in (True, False):
        with new_home(str(home), sources):
            made = [one for _, one in import_by_jobs(sources, str(home), map)]
        assert not [one for one in made if isinstance(one, Exception)]
        assert {"tensors", "torch-1"} == {Path(one.run_dir).name for one in made}  # type: ignore[union-attr]
        assert is_first == (made[0].report is not None)  # type: ignore[union-attr]
        same = [one for _, one in import_by_jobs([*sources, *sources], str(home), map)]
        assert 2 * len(sources) == len(same)


def test_without_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says what to install."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'expman-sidecar\[ray\]'"):
        ray.build_catalog(tmp_path)
