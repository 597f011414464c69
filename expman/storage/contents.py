"""Summary of the rows in the files of a run; the footer of vectors.parquet has it, too."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

import msgspec
import pyarrow as pa

from expman.models import MetricValue, safe_text
from expman.storage.best import BestValues, last_valid
from expman.storage.bounds import fitting, shortened
from expman.storage.columns import FIXED, Columns
from expman.storage.rows import RowBlock

__all__ = ["LANES_KEY", "Contents", "note_latest"]

LANES_KEY = "expman.lanes"
LATEST_KEY = "expman.latest"
BEST_KEY = "expman.best"
ROWS_KEY = "expman.rows"
SUPERSEDED_KEY = "expman.superseded"


class Contents:
    """Summary of the files, as of their last row.

    Attributes:
        lanes: for each producer the first seq that is in no file.
        latest: the latest value of each metric; long texts are cut.
        best: the least, the greatest and the last number of each metric.
        superseded: how many files with superseded rows there are, and how many rows those have.
    """

    def __init__(self) -> None:
        self.lanes: dict[str, int] = {}
        self.latest: dict[str, MetricValue] = {}
        self.best = BestValues()
        self.superseded = (0, 0)

    def add_blocks(
        self, blocks: Sequence[RowBlock], steps: pa.Array, metrics: Iterator[tuple[str, pa.Array]]
    ) -> None:
        """Adds rows that were just written, as blocks and as the columns made of them.

        The best values come last: if memory for them is lacking, they are found the next time.
        """
        for block in blocks:
            self.lanes[safe_text(block.producer)] = block.first_seq + len(block.steps)
        note_latest(self.latest, blocks)
        self.best.add(steps, metrics)

    def add_batch(self, batch: pa.RecordBatch, columns: Columns) -> None:
        """Adds rows that were read back, but for `lanes`."""
        self.add_latest(batch, columns)
        self.add_best(batch, columns)

    def add_latest(self, batch: pa.RecordBatch, columns: Columns) -> None:
        """Adds the latest values of rows that were read back."""
        rows = batch.num_rows
        found: dict[str, int] = {}
        for metric, array in _metrics_of(batch, columns):
            if array.null_count == rows:
                continue
            row = last_valid(array)
            # A metric of two columns, numbers and text: the later row counts.
            if row >= found.get(metric, 0):
                found[metric] = row
                self.latest[metric] = shortened(array[row].as_py())

    def add_best(self, batch: pa.RecordBatch, columns: Columns) -> None:
        """Adds the best values of rows that were read back."""
        self.best.add(batch.column("step"), _metrics_of(batch, columns))

    def copy(self) -> Contents:
        """Returns the contents as they are now."""
        other = Contents()
        other.lanes, other.latest, other.best = (
            dict(self.lanes),
            dict(self.latest),
            self.best.copy(),
        )
        other.superseded = self.superseded
        return other

    def footer(self, rows: int) -> dict[str, str]:
        """Returns the keys for the footer of a vectors.parquet with that number of rows."""
        superseded = {SUPERSEDED_KEY: json.dumps(self.superseded)} if self.superseded[0] else {}
        return {
            **superseded,
            LANES_KEY: json.dumps(self.lanes),
            LATEST_KEY: json.dumps(fitting(self.latest)),
            BEST_KEY: self.best.encode(),
            ROWS_KEY: str(rows),
        }

    def read_footer(self, metadata: Mapping[bytes, bytes]) -> bool:
        """Takes `lanes` and `latest` from a footer; False if it does not have them."""
        try:
            lanes = msgspec.convert(json.loads(metadata[LANES_KEY.encode()]), dict[str, int])
            latest = json.loads(metadata[LATEST_KEY.encode()])
            if not isinstance(latest, dict):
                return False
            superseded = json.loads(metadata.get(SUPERSEDED_KEY.encode(), b"[0, 0]"))
            self.superseded = msgspec.convert(superseded, tuple[int, int])
        except (KeyError, ValueError):  # msgspec's errors are ValueErrors
            return False
        self.lanes, self.latest = lanes, latest
        return True

    def read_best(self, metadata: Mapping[bytes, bytes]) -> bool:
        """Takes `best` from a footer; False for the footer of an earlier version."""
        best = BestValues.decode(metadata.get(BEST_KEY.encode(), b""))
        self.best = best or BestValues()
        return best is not None


def _metrics_of(batch: pa.RecordBatch, columns: Columns) -> Iterator[tuple[str, pa.Array]]:
    for name, array in zip(batch.schema.names, batch.columns, strict=True):
        if name not in FIXED:
            yield columns.metric_of[name], array


def note_latest(latest: dict[str, MetricValue], blocks: Sequence[RowBlock]) -> None:
    """Takes the latest value of each metric of blocks, in order."""
    for block, following in zip_longest(blocks, blocks[1:]):
        if following is None or not _replaces(following, block):
            _note_latest(latest, block)


def _replaces(block: RowBlock, earlier: RowBlock) -> bool:
    """True if a block surely has a value of every metric of an earlier one."""
    return block.keys is earlier.keys and set(map(type, block.columns)) == {memoryview}


def _note_latest(latest: dict[str, MetricValue], block: RowBlock) -> None:
    for key, column in zip(block.keys, block.columns, strict=True):
        value = column[-1]
        if type(value) is float:  # nearly all
            latest[key] = value
            continue
        if value is None:
            value = next((item for item in reversed(column) if item is not None), None)
        if value is not None:
            latest[key] = shortened(value)
