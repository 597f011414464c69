"""The records of a lane, as msgspec types, and their encoding.

On the wire a record is a msgpack array: tag, ordinal in its term, nanoseconds since the
epoch, then its own fields. Producers write it as a plain tuple, which encodes faster
than a Struct; the writer decodes the tagged union. `test_records` holds the two together.
"""

from __future__ import annotations

import datetime
import os
from typing import Annotated, TypeAlias

import msgspec

from expman.errors import ConfigError
from expman.models import Host, LogLevel, MetricValue, Rank, RunStatus, check_name, safe_text
from expman.transport.values import PlainValue, scalar_hook

__all__ = [
    "Artifact",
    "Drop",
    "Flush",
    "Hello",
    "Log",
    "Params",
    "Record",
    "Scalar",
    "Schema",
    "Sentinel",
    "Vector",
    "decode_many",
    "decode_one",
    "encode",
    "wire_params",
]

VECTOR, SCHEMA, SCALAR, PARAMS, LOG, ARTIFACT, FLUSH, DROP, SENTINEL = range(1, 10)


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


Record: TypeAlias = Vector | Schema | Scalar | Params | Log | Artifact | Flush | Drop | Sentinel


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """Who logs into a lane, and into which run. Stored in the lane's control.

    Attributes:
        role: "owner" or "worker".
        producer: the name that the producer wishes for; "worker" asks for a numbered one.
        started_at_ns: nanoseconds since the Unix epoch.
        started_monotonic_ns: the same moment by the clock that nobody sets.
    """

    role: str
    producer: str
    pid: int
    started_at_ns: int
    started_monotonic_ns: int = 0
    base_dir: str
    experiment: str
    run_name: str
    language: str
    env_path: str
    tags: tuple[str, ...] = ()
    description: str | None = None
    flush_interval_rows: int = 50
    flush_interval_ms: int = 500
    max_buffer_bytes: int = 64 * 1024 * 1024
    overflow: str = "block"
    host: Host = Host()
    rank: Rank | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        # Memory can be damaged: no name leads out of the base directory (msgspec makes a
        # DecodeError of it).
        check_name("experiment", self.experiment)
        check_name("run_name", self.run_name)
        if not os.path.isabs(self.base_dir) or "\0" in self.base_dir:
            raise ConfigError("base_dir", self.base_dir, "must be absolute")

    @property
    def run_dir(self) -> str:
        """Directory of the run."""
        return os.path.join(self.base_dir, self.experiment, self.run_name)

    def producer_name(self, number: int) -> str:
        """The name that the producer's rows carry, with the number that makes it its own."""
        if self.producer == "worker":
            return f"worker-{number}"
        return self.producer if not number else f"{self.producer}~{number + 1}"


_DATE, _DATETIME, _BIG_INT = 1, 2, 3


def wire_params(value: PlainValue) -> object:
    """Parameters for the wire: dates and integers beyond 64 bits travel as extensions."""
    ext = msgspec.msgpack.Ext
    match value:
        case bool() | float() | None:
            return value
        case str():
            return safe_text(value)
        case int():
            fits = -(2**63) <= value < 2**64
            return value if fits else ext(_BIG_INT, hex(value).encode())
        case datetime.datetime():
            return ext(_DATETIME, value.isoformat().encode())
        case datetime.date():
            return ext(_DATE, value.isoformat().encode())
        case list():
            return [wire_params(item) for item in value]
    return {safe_text(key): wire_params(item) for key, item in value.items()}


def _read_extension(code: int, data: memoryview) -> object:
    text = bytes(data).decode()
    match code:
        case 1:
            return datetime.date.fromisoformat(text)
        case 2:
            return datetime.datetime.fromisoformat(text)
        case 3:
            return int(text, 16)
    raise ValueError(f"unknown extension {code}")


encode = msgspec.msgpack.Encoder(enc_hook=scalar_hook, decimal_format="number").encode
encode_plain = msgspec.msgpack.Encoder(decimal_format="number").encode
"""Without the hook: refuses scalars of numpy and torch, which `encode` takes by value."""
encode_hello = msgspec.msgpack.Encoder().encode
decode_hello = msgspec.msgpack.Decoder(Hello).decode
_decode_list = msgspec.msgpack.Decoder(list[Record], ext_hook=_read_extension).decode
decode_one = msgspec.msgpack.Decoder(Record, ext_hook=_read_extension).decode


def decode_many(stretch: bytes | memoryview, count: int) -> list[Record]:
    """Decodes records that lie back to back: an array header before them makes one array.

    Raises:
        msgspec.DecodeError: if the bytes are not exactly that many records.
    """
    return _decode_list(b"".join((b"\xdd", count.to_bytes(4, "big"), stretch)))
