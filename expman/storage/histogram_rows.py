"""Rows of histograms.parquet."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from expman.storage.rows import RowBlock

__all__ = ["histogram_row"]

_KEYS = ("counts", "total", "tag", "edges", "not_finite")


def histogram_row(
    producer: str,
    seq: int,
    step: int | None,
    time_ns: int,
    tag: str,
    edges: Sequence[float],
    counts: Sequence[float],
    not_finite: int = 0,
) -> RowBlock:
    """A distribution as a row: edges are one more than counts."""
    texts = [msgspec.json.encode(values).decode() for values in (counts, edges)]
    row = (texts[0], float(sum(counts)), tag, texts[1], not_finite)
    return RowBlock(producer, seq, (step,), (time_ns,), _KEYS, [(value,) for value in row])
