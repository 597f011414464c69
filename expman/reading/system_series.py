"""The samples of the machine as an Arrow stream, thinned to the points of a picture."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from expman.reading.decimate import choose
from expman.reading.numpy_arrays import arrow_array, floats
from expman.reading.streams import stream_of
from expman.reading.vectors import metric_names, read_vectors
from expman.storage.columns import FIXED
from expman.storage.paths import SYSTEM

__all__ = ["system_stream"]


def system_stream(run_dir: str, points: int) -> bytes:
    """Returns `time` (float64, seconds since the epoch) and the columns of the samples.

    Args:
        run_dir: the run's directory.
        points: where there are more samples, those that some column's picture needs.

    Raises:
        StorageError: a file cannot be read.
    """
    names = metric_names(run_dir, SYSTEM)
    if not names:
        return stream_of(pa.table({"time": pa.array([], pa.float64())}))
    table = read_vectors(run_dir, ["timestamp", *names], stem=SYSTEM, lenient=True)
    time = floats(table["timestamp"].cast(pa.timestamp("us", "UTC")).cast(pa.int64())) / 1e6
    columns = {
        name: floats(table[name])
        for name in names
        if name not in FIXED and not pa.types.is_string(table[name].type)
    }
    kept = np.arange(len(time))
    if len(time) > points and np.all(np.diff(time) >= 0):
        # Each column has a share; what several need counts once.
        each = max(16, points // max(1, len(columns)))
        # A gap in a column is not a value to keep.
        filled = [np.where(np.isnan(y), 0.0, y) for y in columns.values()]
        kept = np.unique(np.concatenate([choose(time, y, each).places for y in filled]))
    chosen = {"time": time, **columns}
    return stream_of(pa.table({name: arrow_array(values[kept]) for name, values in chosen.items()}))
