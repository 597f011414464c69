"""Rows in memory, on their way to the tail."""

from __future__ import annotations

from collections.abc import Mapping

from expman.models import MetricValue, safe_text
from expman.storage.columns import ROW_FIELDS
from expman.storage.contents import note_latest
from expman.storage.rows import RowBlock, trim

__all__ = ["SPARSE", "WIDE_COLUMNS", "PendingRows"]

MAX_BATCH_ROWS = 64 * 1024
MAX_BATCH_CELLS = 4 * 1024 * 1024
MAX_SPARSE_CELLS = 256 * 1024
"""Of a batch whose rows have few of its columns each: it is kept in memory with its nulls."""
WIDE_COLUMNS = 256
SPARSE = 8


class PendingRows:
    """Blocks of rows that are in no file, in append order.

    Attributes:
        blocks: the blocks.
        rows: how many rows they have.
    """

    def __init__(self, lanes: Mapping[str, int], latest: Mapping[str, MetricValue]) -> None:
        self.blocks: list[RowBlock] = []
        self.rows = 0
        self._latest = dict(latest)
        self._noted = 0  # how many of the blocks are in it
        self._seen = dict(lanes)  # for each producer the first seq that was not appended

    @property
    def latest(self) -> dict[str, MetricValue]:
        """The latest value of each metric, of rows in the files and in memory."""
        if self._noted < len(self.blocks):
            note_latest(self._latest, self.blocks[self._noted :])
            self._noted = len(self.blocks)
        return self._latest

    def append(self, block: RowBlock) -> None:
        """Takes rows, except those whose seq was taken before."""
        producer = safe_text(block.producer)
        seen = self._seen.get(producer, 0)
        if block.first_seq < seen:
            block = trim(block, min(seen - block.first_seq, len(block.steps)))
        rows = len(block.steps)
        if rows:
            self.blocks.append(block)
            self.rows += rows
            self._seen[producer] = block.first_seq + rows

    def next_group(self) -> list[RowBlock]:
        """Returns the first blocks, as many as one batch may have."""
        rows = count = values = 0
        keys: set[str] = set()
        last_keys: tuple[str, ...] | None = None
        for block in self.blocks:
            if block.keys is not last_keys:
                last_keys = block.keys
                keys.update(last_keys)
            rows += len(block.steps)
            values += len(block.steps) * len(block.keys)
            cells = rows * (len(keys) + len(ROW_FIELDS))
            is_sparse = len(keys) > WIDE_COLUMNS and values * SPARSE < cells
            limit = MAX_SPARSE_CELLS if is_sparse else MAX_BATCH_CELLS
            if count and (rows > MAX_BATCH_ROWS or cells > limit):
                break
            count += 1
        return self.blocks[:count]

    def remove_first(self, count: int) -> None:
        """Removes the first `count` blocks: they are written, or were left out."""
        if count > self._noted:
            note_latest(self._latest, self.blocks[self._noted : count])
        self._noted = max(0, self._noted - count)
        self.rows -= sum(len(block.steps) for block in self.blocks[:count])
        del self.blocks[:count]

    def replace_first(self, *blocks: RowBlock) -> None:
        """Puts blocks with the same rows in the place of the first one."""
        self._noted += (len(blocks) - 1) if self._noted else 0
        self.blocks[:1] = blocks
