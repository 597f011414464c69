"""Encoding of records by a producer. `records` declares their fields and decodes them.

On the wire a record is a msgpack array: tag, ordinal in its term, nanoseconds since the
epoch, then its own fields. Producers encode it from a plain tuple, which is faster than a
Struct; the writer decodes the tagged union. `test_records` holds the two together.
"""

from __future__ import annotations

import datetime

import msgspec

from expman.transport.values import PlainValue, scalar_hook

__all__ = [
    "ANNOTATION",
    "ARTIFACT",
    "BIG_INT",
    "CONSOLE",
    "DATE",
    "DATETIME",
    "DROP",
    "FLUSH",
    "HISTOGRAM",
    "LOG",
    "MEDIA",
    "PARAMS",
    "SCALAR",
    "SCHEMA",
    "SENTINEL",
    "UNREADABLE",
    "VECTOR",
    "encode",
    "encode_plain",
    "wire_params",
]

VECTOR, SCHEMA, SCALAR, PARAMS, LOG, ARTIFACT, FLUSH, DROP, SENTINEL = range(1, 10)
CONSOLE, MEDIA, HISTOGRAM, ANNOTATION = 11, 12, 13, 17
DATE, DATETIME, BIG_INT = 1, 2, 3  # extensions of msgpack

UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)
"""What decoding raises over bytes that are not what they should be: UnicodeDecodeError is a
ValueError."""

encode = msgspec.msgpack.Encoder(enc_hook=scalar_hook, decimal_format="number").encode
encode_plain = msgspec.msgpack.Encoder(decimal_format="number").encode
"""Without the hook: refuses scalars of numpy and torch, which `encode` takes by value."""


def wire_params(value: PlainValue) -> object:
    """Parameters for the wire: dates and integers beyond 64 bits travel as extensions."""
    ext = msgspec.msgpack.Ext
    match value:
        case bool() | float() | None:
            return value
        case str():
            return value
        case int():
            fits = -(2**63) <= value < 2**64
            return value if fits else ext(BIG_INT, hex(value).encode())
        case datetime.datetime():
            return ext(DATETIME, value.isoformat().encode())
        case datetime.date():
            return ext(DATE, value.isoformat().encode())
        case list():
            return [wire_params(item) for item in value]
    return {key: wire_params(item) for key, item in value.items()}
