"""Curves of a run's metrics: of one process, of each of several, or as a band over all of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from expman.reading.curves import Curve, thin
from expman.reading.producer_rows import (
    ProducerChoice,
    ProducerRows,
    count_producers,
    rows_by_producer,
)
from expman.reading.vectors import metric_names, read_vectors

__all__ = ["MANY_LINES", "Lines", "curves", "metric_lines", "number_metrics"]

MAX_ROWS = 200_000
"""A small picture of a very long run shows only its newest rows, so that it takes no seconds."""
MANY_LINES = 8
"""More lines than this are a band, unless somebody wants each."""
BAND = ("greatest", "median", "least")
_POINT, _WHO, _X, _Y = "point", "who", "x", "y"


class Lines(NamedTuple):
    """The lines of one metric in a chart.

    Attributes:
        curves: by their labels; of a band those of `BAND`.
        of: whose curves they are, for the title: "4 ranks"; "" for a run of one process.
    """

    curves: dict[str, Curve]
    of: str


def curves(
    run_dir: str,
    metrics: Sequence[str] | None = None,
    *,
    points: int = 60,
    last: int | None = MAX_ROWS,
) -> dict[str, Curve]:
    """Reads the numeric metrics of a run, one curve each; metrics without values are left out.

    Where several processes have logged a metric, the curve is their median.

    Args:
        run_dir: the run's directory.
        metrics: only these; all if None.
        points: at most so many points for each curve.
        last: only so many rows, the newest.

    Raises:
        ConfigError: the run has no such metric.
        StorageError: a file cannot be read.
    """
    found = {}
    for name, several in _by_metric(run_dir, metrics, last, None):
        if len(several) == 1:
            curve = thin(several[0].rows["step"], several[0].rows[name], points)
        else:
            curve = _band(name, several, points)["median"]
            of = f"median of {count_producers(several)}"
            curve = curve._replace(of=of, ends=_ends(name, several))
        if curve.x or curve.left_out:
            found[name] = curve
    return found


def metric_lines(
    run_dir: str,
    metrics: Sequence[str],
    *,
    points: int,
    by: Literal["process", "band"] | None = None,
    choice: ProducerChoice | None = None,
) -> dict[str, Lines]:
    """Reads the lines of a chart for each numeric metric; metrics without values are left out.

    Args:
        run_dir: the run's directory.
        metrics: their names.
        points: at most so many points for each line.
        by: a line for each process that has logged the metric, or a band: the greatest, the
            median and the least of them. If None, a band of more than `MANY_LINES`.
        choice: only these producers.

    Raises:
        ConfigError: the run has no such metric, or no such producer.
        StorageError: a file cannot be read.
    """
    found = {}
    for name, several in _by_metric(run_dir, metrics, None, choice):
        is_band = len(several) > 1 and (by or _usual(several)) == "band"
        if is_band:
            drawn = _band(name, several, points)
        else:
            drawn = {one.label: thin(one.rows["step"], one.rows[name], points) for one in several}
        if any(curve.x or curve.left_out for curve in drawn.values()):
            found[name] = Lines(drawn, _what(several, choice, is_band=is_band))
    return found


def _usual(several: Sequence[ProducerRows]) -> Literal["process", "band"]:
    return "band" if len(several) > MANY_LINES else "process"


def _what(several: Sequence[ProducerRows], choice: ProducerChoice | None, *, is_band: bool) -> str:
    if len(several) > 1:
        return (
            f"{count_producers(several)}: {', '.join(BAND)}"
            if is_band
            else (count_producers(several))
        )
    is_chosen = choice is not None and any(choice)
    return several[0].label if is_chosen or several[0].name != "main" else ""


def _by_metric(
    run_dir: str,
    metrics: Sequence[str] | None,
    last: int | None,
    choice: ProducerChoice | None,
) -> Iterator[tuple[str, list[ProducerRows]]]:
    """Yields each metric of numbers with the rows of those who have logged it."""
    names = list(metric_names(run_dir) if metrics is None else metrics)
    several = rows_by_producer(run_dir, ["step", *names], last=last, choice=choice)
    for name in names:
        known = [one for one in several if one.rows[name].null_count < one.rows.num_rows]
        if known and _is_number(known[0].rows[name].type):
            yield name, known


def number_metrics(run_dir: str) -> list[str]:
    """Returns the columns of a run's metrics that have numbers.

    Raises:
        StorageError: a file cannot be read.
    """
    names = metric_names(run_dir)
    schema = read_vectors(run_dir, names, last=0).schema
    return [name for name in names if _is_number(schema.field(name).type)]


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    )


def _ends(name: str, several: Sequence[ProducerRows]) -> tuple[float, float] | None:
    """The least and the greatest of the last values of several producers."""
    found = []
    for one in several:
        values = one.rows[name].cast(pa.float64(), safe=False)
        finite = values.filter(pc.fill_null(pc.is_finite(values), False))
        found += [finite[-1].as_py()] if len(finite) else []
    return (min(found), max(found)) if found else None


# -- bands --------------------------------------------------------------------------------------


def _band(name: str, several: Sequence[ProducerRows], points: int) -> dict[str, Curve]:
    """The greatest, the median and the least value of several producers.

    Each step is a point, if there are no more of them than points. Otherwise a point has several
    steps: the greatest and the least of all values, and the median of the producers' means.
    """
    table = pa.concat_tables([_numbers(name, who, one.rows) for who, one in enumerate(several)])
    is_finite = pc.is_finite(table[_Y])
    left_out = table.num_rows - (pc.sum(is_finite).as_py() or 0)
    odd = sorted(set(table.filter(pc.invert(is_finite))[_X].to_pylist())) if left_out else []
    xs: list[float] = []
    ys: list[tuple[float, float, float]] = []
    for x, values in _grouped(table.filter(is_finite), points):
        xs.append(x)
        ys.append(values)
    curve = Curve(xs, [], left_out, odd[:: -(-len(odd) // points)] if odd else ())
    columns = zip(*ys, strict=True) if ys else ((), (), ())
    drawn = {
        label: curve._replace(y=list(column)) for label, column in zip(BAND, columns, strict=True)
    }
    # They are counted once.
    return {
        label: one if label == "median" else one._replace(left_out=0, odd=())
        for label, one in drawn.items()
    }


def _numbers(name: str, who: int, rows: pa.Table) -> pa.Table:
    """The rows that have a value: over steps, or over their number where one has no step."""
    rows = rows.filter(pc.is_valid(rows[name]))
    x = rows["step"].cast(pa.float64(), safe=False)  # a step may be a time in nanoseconds
    if x.null_count:
        x = pa.chunked_array([pa.array(range(rows.num_rows), pa.float64())])
    y = rows[name].cast(pa.float64(), safe=False)
    codes = pa.chunked_array([pa.repeat(pa.scalar(who, pa.int32()), rows.num_rows)])
    return pa.table({_X: x, _Y: y, _WHO: codes})


def _grouped(table: pa.Table, points: int) -> Iterator[tuple[float, tuple[float, float, float]]]:
    """Yields x of each point in turn, with the greatest value, the median and the least."""
    if not table.num_rows:
        return
    table = table.append_column(_POINT, _places(table[_X], points))
    parts = [(_X, "min"), (_Y, "min"), (_Y, "mean"), (_Y, "max")]
    groups = table.group_by([_POINT, _WHO], use_threads=False).aggregate(parts)
    groups = groups.take(pc.sort_indices(groups[_POINT]))
    columns = [groups[name].to_pylist() for name in (_POINT, *(f"{a}_{b}" for a, b in parts))]
    before: int | None = None
    held: list[tuple[float, float, float, float]] = []
    for place, *values in zip(*columns, strict=True):
        if place != before and held:
            yield _point(held)
            held = []
        before = place
        held.append(tuple(values))
    yield _point(held)


def _point(
    held: Sequence[tuple[float, float, float, float]],
) -> tuple[float, tuple[float, float, float]]:
    lows, means, highs = ([one[place] for one in held] for place in (1, 2, 3))
    # The sum of huge numbers may be infinite; their halves have a sum.
    middle = statistics.median(mean / 2 for mean in means) * 2
    high = max(highs)
    return min(one[0] for one in held), (high, middle if math.isfinite(middle) else high, min(lows))


def _places(x: pa.ChunkedArray, points: int) -> pa.ChunkedArray:
    """The number of the point that each row belongs to."""
    values = pc.unique(x)
    if len(values) <= points:
        return pc.index_in(x, value_set=values.take(pc.sort_indices(values)))
    low, high = pc.min_max(values).as_py().values()
    share = pc.divide(pc.subtract(x, low), (high - low) or 1.0)
    places = pc.floor(pc.multiply(share, points - 1e-9)).cast(pa.int32())
    return places
