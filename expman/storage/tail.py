"""The live tail: Arrow IPC streams that grow by one record batch per flush.

A tail file is a schema message followed by record batch messages, without the end-of-stream
mark, as they come out of `Schema.serialize()` and `RecordBatch.serialize()` (Arrow columnar
format, "IPC Streaming Format"). Every append is failure-atomic: after an error the file ends
where the last whole message ended, or counts only that far.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator

import pyarrow as pa

from expman.failpoints import hit
from expman.storage.appendfile import AppendFile
from expman.storage.arrowfile import open_arrow
from expman.storage.paths import open_regular

__all__ = ["TailFile", "TornTail", "read_tail", "with_checksum"]

_MARKER = b"\xff\xff\xff\xff"
_HEAD_BYTES = 8
_CHECK_MARK = b"crc\n"
_CHECK_BYTES = 8
_LARGE_BYTES = 128 * 1024
"""A second system call costs less than a copy of so many bytes in new memory."""


class TornTail(Exception):
    """The bytes at `offset` are not a whole message; the ones before it are good.

    Attributes:
        offset: bytes that are good.
        torn: the file simply ends too early, as after a kill; otherwise the bytes are wrong.
    """

    def __init__(self, offset: int, torn: bool, detail: str) -> None:
        super().__init__(detail)
        self.offset = offset
        self.torn = torn
        self.detail = detail


class TailFile(AppendFile):
    """One file of the tail.

    Attributes:
        schema: of its batches.
        rows: in its whole messages.
    """

    sync_point = "tail-sync"

    def __init__(self, path: str, schema: pa.Schema, good_bytes: int = 0, rows: int = 0) -> None:
        super().__init__(path, good_bytes)
        self.schema = schema
        self.types: dict[str, pa.DataType] = {field.name: field.type for field in schema}
        self.rows = rows

    def append(self, batch: pa.RecordBatch, *, compress: bool = False) -> None:
        """Appends one batch; on an error the file is as before, or `torn` beyond good_bytes.

        Args:
            batch: of the file's schema.
            compress: it is mostly nulls, which take 8 bytes each.

        Durability: written when it returns.
        """
        if self.was_removed:
            raise FileNotFoundError(f"{os.path.basename(self.path)} was removed by somebody")
        with self.appending() as write:
            hit("tail-before-append")
            if not self.good_bytes:
                write(self.schema.serialize().to_pybytes(), "")
            hit("tail-after-schema")
            message = _compressed(batch) if compress else batch.serialize()
            head, body = _checksummed(message)
            parts = (head, body) if len(body) >= _LARGE_BYTES else (head + body,)
            for part in parts:
                write(part, "tail-half-appended")
            hit("tail-after-append")
        self.rows += batch.num_rows


def read_tail(
    path: str, limit_bytes: int | None = None
) -> Iterator[tuple[pa.Schema, pa.RecordBatch | None, int]]:
    """Reads a tail file message by message, in bounded memory.

    Yields:
        The schema, a batch (None with the first item, the schema's), the offset behind it.

    Raises:
        TornTail: at the first bytes that are not a whole, valid message.
        OSError: the file cannot be read.
    """
    with open_arrow(path) as file:
        size = file.size() if limit_bytes is None else limit_bytes
        schema: pa.Schema | None = None
        offset = 0
        while offset < size:
            try:
                message = pa.ipc.read_message(file)
                batch = None
                if schema is None:
                    schema = pa.ipc.read_schema(message)
                else:
                    if not _is_intact(message):
                        torn = file.tell() >= size  # nothing behind it would be lost
                        raise TornTail(offset, torn, "the checksum differs")
                    batch = pa.ipc.read_record_batch(message, schema)
                    batch.validate(full=limit_bytes is None)
            except EOFError as exc:
                # Zeros read as end-of-stream: a machine crash leaves them where data was lost.
                raise TornTail(offset, True, "the file goes on with zeros") from exc
            except (pa.ArrowException, OSError) as exc:
                if isinstance(exc, OSError) and exc.errno:
                    raise  # the disk's own trouble, and not a short message
                torn = _ends_early(path, offset, size, str(exc))
                raise TornTail(offset, torn, str(exc)) from exc
            offset = file.tell()
            yield schema, batch, offset
        if schema is None:
            raise TornTail(0, True, "the file is empty")


def _compressed(batch: pa.RecordBatch) -> pa.Buffer:
    """The batch as a message whose body is compressed: the second one of a stream."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_stream(sink, batch.schema, options=options) as stream:
        stream.write_batch(batch)
    data = sink.getvalue()
    begin = _HEAD_BYTES + int.from_bytes(data[4:_HEAD_BYTES].to_pybytes(), "little")
    return data[begin : data.size - _HEAD_BYTES]


def with_checksum(message: pa.Buffer) -> bytes:
    """The message with a checksum of its body, see `_checksummed`."""
    return b"".join(_checksummed(message))


def _checksummed(message: pa.Buffer) -> tuple[bytes, memoryview]:
    """A message with a checksum of its body behind its metadata, where padding is allowed; body.

    A machine crash may leave the right length and zeros for the last bytes: without a checksum
    they would read as values. Other readers skip it ("Encapsulated message format": the length
    of the metadata includes padding).
    """
    data = memoryview(message)
    end = _HEAD_BYTES + int.from_bytes(data[4:_HEAD_BYTES], "little")
    length = (end - _HEAD_BYTES + _CHECK_BYTES).to_bytes(4, "little")
    check = _CHECK_MARK + zlib.crc32(data[end:]).to_bytes(4, "little")
    return b"".join((_MARKER, length, data[_HEAD_BYTES:end], check)), data[end:]


def _is_intact(message: pa.Message) -> bool:
    """True if the body is as its checksum says; true if it has none."""
    check = bytes(message.metadata[-_CHECK_BYTES:])
    if not check.startswith(_CHECK_MARK):
        return True
    return zlib.crc32(message.body) == int.from_bytes(check[4:], "little")


def _ends_early(path: str, offset: int, size: int, detail: str) -> bool:
    """True if the message at `offset` is valid up to the end of the file, and goes beyond it.

    A message is a marker of four 0xFF, the length of its metadata, metadata, body (Arrow
    columnar format, "Encapsulated message format").
    """
    with os.fdopen(open_regular(path), "rb") as file:
        file.seek(offset)
        head = file.read(8)
    if not _MARKER.startswith(head[:4]):
        return False
    if len(head) < 8 or offset + 8 + int.from_bytes(head[4:], "little", signed=True) > size:
        return True
    return detail.startswith("Expected to be able to read")  # the body's bytes
