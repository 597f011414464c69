"""The records of a lane, as msgspec types, and their decoding. See `encoding` for the other end."""

from __future__ import annotations

import datetime
from typing import Annotated, TypeAlias, get_args

import msgspec

from expman.models import LogLevel, MetricValue, RunStatus
from expman.transport.encoding import (
    ARTIFACT,
    BIG_INT,
    DATE,
    DATETIME,
    DROP,
    FLUSH,
    LOG,
    PARAMS,
    SCALAR,
    SCHEMA,
    SENTINEL,
    VECTOR,
)

__all__ = [
    "KNOWN_TAGS",
    "Artifact",
    "Drop",
    "Flush",
    "KnownRecord",
    "Log",
    "Params",
    "Record",
    "Scalar",
    "Schema",
    "Sentinel",
    "Unknown",
    "Vector",
    "decode_many",
    "decode_one",
    "decode_unknown",
]

# What no producer exceeds; sums of such numbers fit into a word of shared memory.
_COUNT = msgspec.Meta(ge=1, lt=2**48)


# Extra items are refused: a damaged header would swallow the next record as one of them.
class _Record(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    ordinal: int
    logged_at_ns: int


class Vector(_Record, tag=VECTOR, frozen=True, gc=False):
    """A row: the values of a schema that was defined earlier in the same term."""

    step: int | None
    schema: int
    values: tuple[MetricValue, ...]


class Schema(_Record, tag=SCHEMA, frozen=True, gc=False):
    """Names the keys of the vectors that follow with this number."""

    schema: int
    keys: tuple[str, ...]


class Scalar(_Record, tag=SCALAR, frozen=True, gc=False):
    """The latest value of a scalar."""

    key: str
    value: MetricValue


class Params(_Record, tag=PARAMS, frozen=True):
    """Parameters to merge at the top level."""

    params: dict[str, object]


class Log(_Record, tag=LOG, frozen=True, gc=False):
    """A line of run.log."""

    level: LogLevel
    message: str


class Artifact(_Record, tag=ARTIFACT, frozen=True, gc=False):
    """A file or directory to copy; `staged` is its snapshot, if one could be made."""

    source: str
    staged: str | None
    target: str


class Flush(_Record, tag=FLUSH, frozen=True, gc=False):
    """Asks that everything before it is made durable."""

    number: Annotated[int, _COUNT]


class Drop(_Record, tag=DROP, frozen=True, gc=False):
    """So many rows were dropped here by the overflow policy."""

    rows: Annotated[int, _COUNT]


class Sentinel(_Record, tag=SENTINEL, frozen=True, gc=False):
    """The last record of a lane; the owner's carries the run's status."""

    status: RunStatus
    reason: str | None


KnownRecord: TypeAlias = (
    Vector | Schema | Scalar | Params | Log | Artifact | Flush | Drop | Sentinel
)


class Unknown(msgspec.Struct, frozen=True, gc=False):
    """A record of a kind that this version does not have: a newer client has logged it."""

    ordinal: int
    logged_at_ns: int
    tag: int
    encoded: bytes


Record: TypeAlias = KnownRecord | Unknown

KNOWN_TAGS = frozenset(kind.__struct_config__.tag for kind in get_args(KnownRecord))


def _read_extension(code: int, data: memoryview) -> object:
    text = bytes(data).decode()
    if code == DATE:
        return datetime.date.fromisoformat(text)
    if code == DATETIME:
        return datetime.datetime.fromisoformat(text)
    if code == BIG_INT:
        return int(text, 16)
    raise ValueError(f"unknown extension {code}")


_decode_list = msgspec.msgpack.Decoder(list[KnownRecord], ext_hook=_read_extension).decode
_decode_one = msgspec.msgpack.Decoder(KnownRecord, ext_hook=_read_extension).decode


def decode_one(data: bytes | memoryview) -> Record:
    """Decodes one record.

    A dataclass, an attrs class or a Struct that has a `__float__` passes the hot path's check, and
    msgspec encodes it by its fields. Its row is kept, and these as text.

    Raises:
        msgspec.DecodeError: the bytes are not exactly one record.
    """
    try:
        record: Record = _decode_one(data)
        return record
    except msgspec.ValidationError:
        items = msgspec.msgpack.decode(data)
        if not isinstance(items, list) or len(items) != 6 or items[0] != VECTOR:
            raise
        *head, values = items
        if not isinstance(values, list) or not {dict, list} & set(map(type, values)):
            raise
        row: Vector = msgspec.convert([*head, list(map(_text_of_fields, values))], Vector)
        return row


def decode_unknown(data: bytes | memoryview) -> Unknown:
    """Reads of a record of an unknown kind what all records have in common.

    Raises:
        ValueError, msgspec.DecodeError: the bytes are not exactly one record.
    """
    items = msgspec.msgpack.decode(data)
    head = items[:3] if isinstance(items, list) else []
    if len(head) < 3 or set(map(type, head)) != {int} or head[0] in KNOWN_TAGS:
        raise ValueError("no record of an unknown kind")
    tag, ordinal, logged_at_ns = head
    return Unknown(ordinal, logged_at_ns, tag, bytes(data))


def _text_of_fields(value: object) -> object:
    return msgspec.json.encode(value).decode() if isinstance(value, dict | list) else value


def decode_many(batch: bytes | memoryview, count: int) -> list[KnownRecord]:
    """Decodes records that lie back to back: an array header before them makes one array.

    Raises:
        msgspec.DecodeError: if the bytes are not exactly that many records.
    """
    return _decode_list(b"".join((b"\xdd", count.to_bytes(4, "big"), batch)))
