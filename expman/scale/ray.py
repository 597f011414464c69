"""Many runs with Ray: `pip install 'expman-sidecar[ray]'`.

Catalogs and imports are Ray tasks, and no Ray Data: a job is a directory of small files to be read
and a file to be made by it, its result is small, and the results are wanted in order. Rows are a
Ray Data dataset. A task whose worker is killed is done again by Ray; nothing is there twice then.
"""

from __future__ import annotations

import logging
import os
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from expman.catalog import CatalogReport, build
from expman.errors import ConfigError
from expman.importers.formats import find
from expman.importers.homes import experiment_of, new_home
from expman.importers.importing import Imported, import_by_jobs
from expman.importers.source import Source
from expman.job_map import JobMap
from expman.scale.chunks import CHUNK_RUNS, chunks_of, columns_of, fitting, rows_of

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["build_catalog", "import_runs", "job_map", "vectors"]

_AHEAD = 4
"""Jobs that wait for each processor of the cluster: results of very many would fill its memory."""
_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


def _ray() -> Any:
    """Returns Ray, initialized unless the program has done that.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    try:
        import ray
    except ModuleNotFoundError as exc:
        if exc.name != "ray":
            raise
        text = "expman.scale.ray needs ray: pip install 'expman-sidecar[ray]'"
        raise ModuleNotFoundError(text, name="ray") from None
    if not ray.is_initialized():
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    return ray


def _call(function: Callable[[_Job], _Result], job: _Job) -> _Result:
    return function(job)


def job_map(*, cpus: float = 1.0, **options: Any) -> JobMap:
    """Returns a job map whose jobs are Ray tasks, for `expman.catalog.build`.

    Args:
        cpus: processors of each task.
        options: further ones of `ray.remote`, such as `resources` or `max_retries`.

    Raises:
        ModuleNotFoundError: Ray is not installed.
    """
    ray = _ray()

    def spread(function: Callable[[_Job], _Result], jobs: Iterable[_Job], /) -> Iterator[_Result]:
        task, what = ray.remote(num_cpus=cpus, **options)(_call), ray.put(function)
        most = max(2, int(_AHEAD * ray.cluster_resources().get("CPU", 1) / max(cpus, 0.1)))
        waiting: deque[Any] = deque()
        for job in jobs:
            waiting.append(task.remote(what, job))
            if len(waiting) >= most:
                yield ray.get(waiting.popleft())
        while waiting:
            yield ray.get(waiting.popleft())

    return spread


def build_catalog(
    base_dir: str | os.PathLike[str], *, anew: bool = False, tasks: JobMap | None = None
) -> CatalogReport:
    """Brings the catalog of a base directory up to date, as `expman.catalog.build` does.

    Runs are read, and their rows compacted, by Ray tasks. Every host has the base directory under
    the same path.

    Args:
        base_dir: directory that holds all experiments.
        anew: do not use what is there.
        tasks: what `job_map` returns; None for tasks with a processor each.

    Durability: the new version is durable when it returns.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        StorageError: the base directory does not exist, or the catalog cannot be written.
    """
    path = os.path.abspath(base_dir)
    return build(path, anew=anew, job_map=tasks or job_map())


def import_runs(
    path: str | os.PathLike[str],
    base_dir: str | os.PathLike[str] = "experiments",
    *,
    experiment: str | None = None,
    tracker: str | None = None,
    tasks: JobMap | None = None,
) -> dict[str, Imported | Exception]:
    """Makes runs from other trackers' files, as `expman import` does, with a Ray task for each.

    Args:
        path: a file or a directory, under the same path on every host.
        base_dir: directory that holds all experiments, likewise.
        experiment: where they come; None for what the tracker calls it.
        tracker: format of the files; None for what is there.
        tasks: what `job_map` returns; None for tasks with a processor each.

    Returns:
        What became of each source, by its identity; an exception says why it was not imported.

    Durability: the runs are durable when it returns.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        ConfigError: there are runs of several formats, or the experiment's name is needed.
        OSError: the path cannot be read.
    """
    tasks = tasks or job_map()
    found = find(os.path.abspath(path), Counter(), tracker)
    if len(found) != 1:
        there = ", ".join(found) or "none"
        raise ConfigError("path", os.fspath(path), f"must have runs of one format; it has {there}")
    base = os.path.abspath(base_dir)
    homes: dict[str, list[Source]] = defaultdict(list)
    for source in next(iter(found.values())):
        name = experiment_of(source, experiment, base)
        if name is None:
            rule = f"must be given, for {source.tracker} records no names of experiments"
            raise ConfigError("experiment", experiment, rule)
        homes[os.path.join(base, name)].append(source)
    done: dict[str, Imported | Exception] = {}
    for home, sources in homes.items():
        with new_home(home, sources):
            for source, made in import_by_jobs(sources, home, tasks):
                done[source.identity] = made
    return done


def vectors(
    base_dir: str | os.PathLike[str],
    columns: Sequence[str] | None = None,
    *,
    chunk_runs: int = CHUNK_RUNS,
    **filters: Any,
) -> Any:
    """Returns a Ray Data dataset with the rows that `expman.vectors` returns as a table.

    Each block has the rows of some runs. They come from the catalog where there is one that holds.
    Datasets keep no order unless Ray is told to: `experiment`, `run`, `_producer` and `_seq`
    identify a row.

    Args:
        base_dir: directory that holds all experiments, under the same path on every host; or the
            URL of a copy of it.
        columns: as in `expman.vectors`.
        chunk_runs: runs of a block.
        filters: those of `expman.runs`.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        StorageError: the base directory does not exist.
    """
    _ray()
    from ray import data

    chunks = chunks_of(base_dir, chunk_runs, **filters)
    schemas = [schema for found in job_map()(columns_of, chunks) for schema in found]
    schema = fitting(schemas, columns)
    if not chunks:
        return data.from_arrow(schema.empty_table())

    def read(batch: pa.Table) -> Iterator[pa.Table]:
        for number in batch["chunk"].to_pylist():
            yield rows_of(chunks[number], columns, schema)

    numbers = data.from_items(
        [{"chunk": number} for number in range(len(chunks))], override_num_blocks=len(chunks)
    )
    return numbers.map_batches(read, batch_size=1, batch_format="pyarrow")
