"""Many runs with Spark: the same jobs as with Ray, given to a session of yours."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from expman.job_map import JobMap
from expman.scale.chunks import CHUNK_RUNS, chunks_of, columns_of, fitting, rows_of

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["job_map", "vectors"]

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


def job_map(spark: Any) -> JobMap:
    """Returns a job map whose jobs are Spark tasks, for `expman.catalog.build`.

    Args:
        spark: a SparkSession, whose executors can import expman.
    """

    def spread(function: Callable[[_Job], _Result], jobs: Iterable[_Job], /) -> Iterator[_Result]:
        every = list(jobs)
        if every:
            tasks = spark.sparkContext.parallelize(every, len(every))
            yield from tasks.map(function).collect()

    return spread


def vectors(
    spark: Any,
    base_dir: str | os.PathLike[str],
    columns: Sequence[str] | None = None,
    *,
    chunk_runs: int = CHUNK_RUNS,
    **filters: Any,
) -> Any:
    """Returns a DataFrame with the rows that `expman.vectors` returns as a table.

    Each partition has the rows of some runs. They come from the catalog where there is one that
    holds. The executors read files when the DataFrame is used.

    Args:
        spark: a SparkSession, whose executors can import expman.
        base_dir: directory that holds all experiments, under the same path on every host; or the
            URL of a copy of it.
        columns: as in `expman.vectors`.
        chunk_runs: runs of a partition.
        filters: those of `expman.runs`.

    Raises:
        StorageError: the base directory does not exist.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    chunks = chunks_of(base_dir, chunk_runs, **filters)
    found = job_map(spark)(columns_of, chunks)
    schema = fitting((one for schemas in found for one in schemas), columns)

    def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column("id").to_pylist():
                yield from rows_of(chunks[number], columns, schema).to_batches()

    numbers = spark.range(0, len(chunks), numPartitions=max(1, len(chunks)))
    return numbers.mapInArrow(read, from_arrow_schema(schema))
