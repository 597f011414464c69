"""The kinds of records, and their decoding. `encoding` is the other end.

A record is a msgpack array: tag, ordinal in its term, nanoseconds since the epoch, then the fields
of its kind. A new kind is a struct here, an entry in KINDS, and a sink in the writer. No producer
needs a change: `LaneProducer.publish` takes the tag and the fields. A tag stays below 128 and is
never used again for something else: an older writer keeps the bytes of a kind that it does not
know, see `Unknown`.
"""

from __future__ import annotations

import datetime
import functools
from typing import Annotated, Any, Literal, Union

import msgspec

from expman.models import LogLevel, MetricValue, RunStatus
from expman.transport.encoding import (
    ANNOTATION,
    ARTIFACT,
    BIG_INT,
    CONSOLE,
    DATE,
    DATETIME,
    DROP,
    FLUSH,
    HISTOGRAM,
    LOG,
    MEDIA,
    PARAMS,
    SCALAR,
    SCHEMA,
    SENTINEL,
    VECTOR,
)

__all__ = [
    "KINDS",
    "Annotation",
    "Artifact",
    "Console",
    "Drop",
    "Flush",
    "Histogram",
    "Log",
    "Media",
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
    "is_known",
    "tag_of",
]

# No producer exceeds this; sums of such numbers fit into a word of shared memory.
_COUNT = msgspec.Meta(ge=1, lt=2**48)


# Extra items are refused: a damaged header would swallow the next record as one of them.
class Record(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    """Fields of every record.

    Attributes:
        ordinal: its number in its term.
        logged_at_ns: nanoseconds since the Unix epoch.
    """

    ordinal: int
    logged_at_ns: int


class Vector(Record, tag=VECTOR, frozen=True, gc=False):
    """A row: the values of a schema that was defined earlier in the same term."""

    step: int | None
    schema: int
    values: tuple[MetricValue, ...]


class Schema(Record, tag=SCHEMA, frozen=True, gc=False):
    """Names the keys of the vectors that follow with this number."""

    schema: int
    keys: tuple[str, ...]


class Scalar(Record, tag=SCALAR, frozen=True, gc=False):
    """The latest value of a scalar."""

    key: str
    value: MetricValue


class Params(Record, tag=PARAMS, frozen=True):
    """Parameters to merge at the top level."""

    params: dict[str, object]


class Log(Record, tag=LOG, frozen=True, gc=False):
    """A line of run.log."""

    level: LogLevel
    message: str


class Artifact(Record, tag=ARTIFACT, frozen=True, gc=False):
    """A file or directory to copy; `staged` is its snapshot, if one could be made."""

    source: str
    staged: str | None
    target: str


class Annotation(Record, tag=ANNOTATION, frozen=True):
    """Changes how the run is described.

    Attributes:
        field: "project", "description", "tags" (all of them), or "add_tags".
        value: the new one; for tags a list.
    """

    field: Literal["project", "description", "tags", "add_tags"]
    value: str | list[str] | None


class Console(Record, tag=CONSOLE, frozen=True, gc=False):
    """Lines that the program has printed.

    Attributes:
        stream: "out" or "err".
        text: whole lines, or "" for the number of lost ones alone. Without a newline at its end
            it is a line that goes on, as far as it is known; a later record has all of it.
        lost_lines: so many lines before these could not be recorded.
    """

    stream: Literal["out", "err"]
    text: str
    lost_lines: Annotated[int, msgspec.Meta(ge=0, lt=2**48)]


class Media(Record, tag=MEDIA, frozen=True):
    """A picture, a sound, a text, …: encoded already, or raw for the writer to encode.

    Attributes:
        kind: "image", "audio", "video", "text", "table" or "confusion_matrix"; "dropped" for no
            medium at all, but for `dropped`.
        label: the user's tag.
        step: the user's step.
        extension: of the file's name.
        pixels: how raw ones lie: memoryview's code of a value, the shape, whether channels come
            before height and width, frames per second; None if the data is encoded.
        data: the bytes; None if they are in a file.
        staged: name of that file in the staging directory.
        size: how many bytes.
        dropped: so many of this producer's media were dropped since its last one.
    """

    kind: str
    label: str
    step: int | None
    extension: str
    pixels: tuple[str, tuple[int, ...], bool, float] | None
    data: bytes | None
    staged: str | None
    size: int
    dropped: Annotated[int, msgspec.Meta(ge=0, lt=2**48)]


class Histogram(Record, tag=HISTOGRAM, frozen=True):
    """A distribution.

    Attributes:
        label: the user's tag.
        step: the user's step.
        edges: of the bins, one more than there are bins.
        counts: values in each bin.
        not_finite: values that are NaN or infinite, and in no bin.
        dropped: as in Media.
    """

    label: str
    step: int | None
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    not_finite: int
    dropped: Annotated[int, msgspec.Meta(ge=0, lt=2**48)]


class Flush(Record, tag=FLUSH, frozen=True, gc=False):
    """Asks that everything before it is made durable."""

    number: Annotated[int, _COUNT]


class Drop(Record, tag=DROP, frozen=True, gc=False):
    """So many rows were dropped here by the overflow policy."""

    rows: Annotated[int, _COUNT]


class Sentinel(Record, tag=SENTINEL, frozen=True, gc=False):
    """The last record of a lane; the owner's carries the run's status."""

    status: RunStatus
    reason: str | None


KINDS: tuple[type[Record], ...] = (
    *(Vector, Schema, Scalar, Params, Log, Artifact, Flush, Drop, Sentinel, Annotation),
    *(Console, Media, Histogram),
)
"""Every kind of record that a lane may hold, in any order. The only table of them."""


class Unknown(Record, frozen=True, gc=False):
    """A record of a kind that this version does not know; its bytes are kept.

    Attributes:
        tag: of its kind.
        encoded: the record.
    """

    tag: int
    encoded: bytes


def tag_of(kind: type[Record]) -> int:
    """The tag of a kind."""
    tag = kind.__struct_config__.tag
    assert isinstance(tag, int)
    return tag


class _Decoders:
    """Decoders for a table of kinds."""

    def __init__(self, kinds: tuple[type[Record], ...]) -> None:
        union: Any = Union[kinds]  # noqa: UP007 - of a tuple
        self.tags = frozenset(map(tag_of, kinds))
        self.one = msgspec.msgpack.Decoder(union, ext_hook=_read_extension).decode
        self.many = msgspec.msgpack.Decoder(list[union], ext_hook=_read_extension).decode


_decoders_of = functools.cache(_Decoders)


def is_known(tag: int) -> bool:
    """True if records of this tag can be decoded."""
    return tag in _decoders_of(KINDS).tags


def _read_extension(code: int, data: memoryview) -> object:
    text = bytes(data).decode()
    if code == DATE:
        return datetime.date.fromisoformat(text)
    if code == DATETIME:
        return datetime.datetime.fromisoformat(text)
    if code == BIG_INT:
        return int(text, 16)
    raise ValueError(f"unknown extension {code}")


def decode_one(data: bytes | memoryview) -> Record:
    """Decodes one record.

    A dataclass, an attrs class or a Struct that has a `__float__` passes the hot path's check, and
    msgspec encodes it by its fields. Its row is kept, and these as text.

    Raises:
        msgspec.DecodeError: the bytes are not exactly one record.
    """
    try:
        record: Record = _decoders_of(KINDS).one(data)
        return record
    except msgspec.ValidationError as exc:
        items = msgspec.msgpack.decode(data)
        if not isinstance(items, list) or len(items) != 6 or items[0] != VECTOR:
            raise
        *head, values = items
        if not isinstance(values, list) or not {dict, list} & set(map(type, values)):
            raise
        try:
            texts = list(map(_text_of_fields, values))
        except (TypeError, ValueError, RecursionError):  # no text holds an extension's bytes
            raise exc from None
        row: Vector = msgspec.convert([*head, texts], Vector)
        return row


def _text_of_fields(value: object) -> object:
    if not isinstance(value, dict | list):
        return value
    return msgspec.json.encode(_with_text_keys(value)).decode()


def _with_text_keys(value: object) -> object:
    """The fields, with text for the keys that JSON has no kind for: None, bool, tuples."""
    if isinstance(value, list):
        return list(map(_with_text_keys, value))
    if not isinstance(value, dict):
        return value
    return {
        key if type(key) in (str, int, float, bytes) else repr(key): _with_text_keys(item)
        for key, item in value.items()
    }


def decode_many(batch: bytes | memoryview, count: int) -> list[Record]:
    """Decodes records that lie back to back: an array header before them makes one array.

    Raises:
        msgspec.DecodeError: if the bytes are not exactly that many records of known kinds.
    """
    records: list[Record] = _decoders_of(KINDS).many(
        b"".join((b"\xdd", count.to_bytes(4, "big"), batch))
    )
    return records


_decode_items = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_decode_integer = msgspec.msgpack.Decoder(int).decode


def decode_unknown(data: bytes) -> Unknown:
    """Decodes what every record has, of one whose kind is not known.

    Raises:
        msgspec.DecodeError, ValueError: the bytes are not a record of any kind.
    """
    items = _decode_items(data)
    tag, ordinal, logged_at_ns = map(_decode_integer, items[:3])
    return Unknown(ordinal, logged_at_ns, tag, data)
