"""Records: what producers write as plain tuples is what the tagged union reads."""

from __future__ import annotations

import datetime
import math
import struct
from typing import Any

import msgspec
import pytest

from expman.models import LogLevel, RunStatus
from expman.transport import encoding
from expman.transport import records as wire
from expman.transport.msgpack_walk import value_end

NOW = 1_700_000_000_123_456_789

SAMPLES: list[tuple[tuple[Any, ...], wire.Record]] = [
    (
        (encoding.VECTOR, 3, NOW, 7, 2, (0.5, 1, True, "on")),
        wire.Vector(3, NOW, 7, 2, (0.5, 1, True, "on")),
    ),
    ((encoding.VECTOR, 0, NOW, None, 0, ()), wire.Vector(0, NOW, None, 0, ())),
    ((encoding.SCHEMA, 1, NOW, 2, ("a", "ä")), wire.Schema(1, NOW, 2, ("a", "ä"))),
    ((encoding.SCHEMA, 1, NOW, 2, ()), wire.Schema(1, NOW, 2, ())),
    ((encoding.SCALAR, 1, NOW, "best", 0.5), wire.Scalar(1, NOW, "best", 0.5)),
    ((encoding.SCALAR, 1, NOW, "best", ""), wire.Scalar(1, NOW, "best", "")),
    (
        (encoding.PARAMS, 1, NOW, {"a": {"b": [1, None, "c"]}}),
        wire.Params(1, NOW, {"a": {"b": [1, None, "c"]}}),
    ),
    ((encoding.PARAMS, 1, NOW, {}), wire.Params(1, NOW, {})),
    (
        (encoding.LOG, 1, NOW, LogLevel.ERROR, "kaputt \N{PILE OF POO}"),
        wire.Log(1, NOW, LogLevel.ERROR, "kaputt \N{PILE OF POO}"),
    ),
    ((encoding.LOG, 1, NOW, LogLevel.INFO, ""), wire.Log(1, NOW, LogLevel.INFO, "")),
    ((encoding.ARTIFACT, 1, NOW, "/a", None, "a"), wire.Artifact(1, NOW, "/a", None, "a")),
    ((encoding.ARTIFACT, 1, NOW, "/a", "/b", "a"), wire.Artifact(1, NOW, "/a", "/b", "a")),
    (
        (encoding.ANNOTATION, 1, NOW, "tags", ["a", "ä"]),
        wire.Annotation(1, NOW, "tags", ["a", "ä"]),
    ),
    ((encoding.ANNOTATION, 1, NOW, "project", None), wire.Annotation(1, NOW, "project", None)),
    (
        (encoding.CONSOLE, 1, NOW, "err", "a\nb\n", 0),
        wire.Console(1, NOW, "err", "a\nb\n", 0),
    ),
    (
        (encoding.MEDIA, 1, NOW, "image", "a", 3, "png", ("B", (2,), False, 0.0), b"x", None, 1, 0),
        wire.Media(1, NOW, "image", "a", 3, "png", ("B", (2,), False, 0.0), b"x", None, 1, 0),
    ),
    (
        (encoding.MEDIA, 1, NOW, "text", "a", None, "txt", None, None, "a.spool", 1, 2),
        wire.Media(1, NOW, "text", "a", None, "txt", None, None, "a.spool", 1, 2),
    ),
    (
        (encoding.HISTOGRAM, 1, NOW, "a", 3, (0.0, 1.0), (5,), 2, 0),
        wire.Histogram(1, NOW, "a", 3, (0.0, 1.0), (5,), 2, 0),
    ),
    ((encoding.FLUSH, 1, NOW, 9), wire.Flush(1, NOW, 9)),
    ((encoding.DROP, 1, NOW, 2**40), wire.Drop(1, NOW, 2**40)),
    (
        (encoding.SENTINEL, 1, NOW, RunStatus.FAILED, "why"),
        wire.Sentinel(1, NOW, RunStatus.FAILED, "why"),
    ),
    (
        (encoding.SENTINEL, 1, NOW, RunStatus.FINISHED, None),
        wire.Sentinel(1, NOW, RunStatus.FINISHED, None),
    ),
]


@pytest.mark.parametrize(("plain", "record"), SAMPLES, ids=lambda one: type(one).__name__)
def test_a_plain_tuple_is_the_record(plain: tuple[Any, ...], record: wire.Record) -> None:
    """Both ways: a tuple decodes as the record, and the record encodes as the tuple."""
    assert record == wire.decode_one(encoding.encode(plain))
    assert encoding.encode(plain) == msgspec.msgpack.encode(record)


def test_every_kind_has_a_sample() -> None:
    """The table above leaves no kind out."""
    kinds = {type(record) for _, record in SAMPLES}

    assert set(wire.KINDS) == kinds
    assert len(wire.KINDS) == len({wire.tag_of(kind) for kind in wire.KINDS})
    assert all(0 < wire.tag_of(kind) < 128 for kind in wire.KINDS)


def test_many_records_in_one_call() -> None:
    """Records back to back decode as one array; a wrong count or length does not."""
    batch = b"".join(encoding.encode(plain) for plain, _ in SAMPLES)
    count = len(SAMPLES)

    assert [record for _, record in SAMPLES] == wire.decode_many(batch, count)
    assert [] == wire.decode_many(b"", 0)
    for data, number in (
        (batch, count - 1),
        (batch, count + 1),
        (batch[:-1], count),
        (batch + b"\0", count),
    ):
        with pytest.raises(msgspec.DecodeError):
            wire.decode_many(data, number)


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 65_535, 65_536])
def test_many_counts(count: int) -> None:
    """The array header of 32 bits serves every count."""
    one = encoding.encode((encoding.FLUSH, 1, NOW, 2))

    assert [wire.Flush(1, NOW, 2)] * count == wire.decode_many(one * count, count)


@pytest.mark.parametrize(
    "value",
    [
        *(0, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1),
        *(-1, -32, -33, -128, -129, -32_768, -32_769, -(2**31), -(2**31) - 1, -(2**63)),
    ],
)
def test_integers_at_every_boundary(value: int) -> None:
    """Integers of every width come back as integers, as metrics and as ordinals."""
    vector = wire.decode_one(
        encoding.encode((encoding.VECTOR, abs(value) % 2**64, NOW, None, 0, (value,)))
    )

    assert wire.Vector(abs(value) % 2**64, NOW, None, 0, (value,)) == vector
    assert int is type(vector.values[0])  # type: ignore[union-attr]


@pytest.mark.parametrize("value", [-(2**63) - 1, 2**64, 10**30])
def test_integers_beyond_64_bits_are_refused(value: int) -> None:
    """msgpack has no such integer: the fast path leaves them to the slow one."""
    with pytest.raises(OverflowError):
        encoding.encode((value,))


@pytest.mark.parametrize(
    "value", [0.0, -0.0, 1.5, 1e308, 5e-324, math.inf, -math.inf, math.nan, 2.0**63]
)
def test_floats_keep_every_bit(value: float) -> None:
    """NaN, infinities, the sign of zero and subnormals are values; 1.0 stays a float."""
    scalar = wire.decode_one(encoding.encode((encoding.SCALAR, 0, NOW, "x", value)))

    assert isinstance(scalar, wire.Scalar)
    assert float is type(scalar.value)
    assert struct.pack("<d", value) == struct.pack("<d", scalar.value)


@pytest.mark.parametrize("value", [True, False])
def test_booleans_stay_booleans(value: bool) -> None:
    """True is not 1."""
    scalar = wire.decode_one(encoding.encode((encoding.SCALAR, 0, NOW, "x", value)))

    assert value is scalar.value  # type: ignore[union-attr]


@pytest.mark.parametrize("length", [0, 1, 31, 32, 255, 256, 65_535, 65_536])
@pytest.mark.parametrize("letter", ["a", "é", "漢", "\N{PILE OF POO}"])
def test_text_at_every_boundary(length: int, letter: str) -> None:
    """fixstr, str8, str16 and str32, measured in bytes."""
    text = letter * (length // len(letter.encode())) + "a" * (length % len(letter.encode()))
    payload = encoding.encode((encoding.LOG, 0, NOW, "INFO", text))

    assert length == len(text.encode())
    assert wire.Log(0, NOW, LogLevel.INFO, text) == wire.decode_one(payload)
    assert len(payload) == value_end(payload, 0)


@pytest.mark.parametrize("count", [0, 1, 15, 16, 65_535, 65_536])
def test_arrays_at_every_boundary(count: int) -> None:
    """fixarray, array16 and array32."""
    values = (0.5,) * count
    payload = encoding.encode((encoding.VECTOR, 0, NOW, None, 0, values))

    assert wire.Vector(0, NOW, None, 0, values) == wire.decode_one(payload)
    assert len(payload) == value_end(payload, 0)


def test_lone_surrogates_do_not_encode() -> None:
    """They are no Unicode text; `values` handles them before."""
    with pytest.raises(UnicodeEncodeError):
        encoding.encode(("\udcff",))


PARAMS: dict[str, Any] = {
    "none": None,
    "flag": True,
    "nested": {"list": [1, [2.5, {"deep": "er"}]], "": ""},
    "day": datetime.date(2026, 2, 28),
    "moment": datetime.datetime(2026, 2, 28, 1, 2, 3, 4),
    "zoned": datetime.datetime(2026, 2, 28, tzinfo=datetime.timezone(datetime.timedelta(hours=5))),
    "first day": datetime.date.min,
    "last moment": datetime.datetime.max,
    "large": 10**30,
    "negative": -(10**30),
    "edges": [-(2**63), 2**64 - 1, -(2**63) - 1, 2**64],
    "infinite": [math.inf, -math.inf],
}


def test_parameters_travel_as_they_are() -> None:
    """Dates and integers beyond 64 bits come back as themselves, nested or not."""
    payload = encoding.encode((encoding.PARAMS, 0, NOW, encoding.wire_params(PARAMS)))

    record = wire.decode_one(payload)

    assert wire.Params(0, NOW, PARAMS) == record
    assert datetime.datetime is type(record.params["moment"])  # type: ignore[union-attr]
    assert datetime.date is type(record.params["day"])  # type: ignore[union-attr]
    assert len(payload) == value_end(payload, 0)


def test_an_unknown_extension_is_no_record() -> None:
    """Only the three extensions of ours are read."""
    payload = encoding.encode((encoding.PARAMS, 0, NOW, {"a": msgspec.msgpack.Ext(9, b"x")}))

    with pytest.raises(ValueError, match="unknown extension 9"):
        wire.decode_one(payload)


def test_a_row_with_an_extension_among_its_fields_is_no_record() -> None:
    """A field that no text can hold is damage, not a failure of the reader."""
    values = [[msgspec.msgpack.Ext(0, b"")]]
    payload = encoding.encode((encoding.VECTOR, 0, NOW, None, 0, values))
    with pytest.raises(msgspec.DecodeError):
        wire.decode_one(payload)


@pytest.mark.parametrize("key", [None, True, (), (1, "a"), 1.5, b"a"])
def test_fields_under_any_key_are_kept_as_text(key: object) -> None:
    """A row whose call returned is never damage, whatever the fields of its values are."""
    payload = encoding.encode((encoding.VECTOR, 0, NOW, None, 0, ({"x": [{key: 1}]},)))
    row = wire.decode_one(payload)
    assert isinstance(row, wire.Vector)
    assert isinstance(row.values[0], str)
