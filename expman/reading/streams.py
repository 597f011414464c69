"""A table as an Arrow IPC stream of one batch, as pages read it."""

from __future__ import annotations

import pyarrow as pa

__all__ = ["stream_of"]


def stream_of(table: pa.Table) -> bytes:
    """Returns the bytes of the stream."""
    whole = table.combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, whole.schema) as writer:
        writer.write_table(whole)
    data: bytes = sink.getvalue().to_pybytes()
    return data
