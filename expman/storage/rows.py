"""From logged rows to Arrow arrays. No dict per row, no work per absent value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, repeat
from operator import attrgetter
from typing import Any, TypeGuard, TypeVar

import msgspec
import pyarrow as pa
from msgspec.structs import replace

from expman.models import MetricValue, safe_text
from expman.storage.columns import EXACT_INT, FIXED, PRODUCER_COLUMNS, Columns, Kind, Warn, absent

__all__ = ["RowBlock", "build_columns", "halve", "trim"]

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
SHORT_BLOCK = 16
FEW_ROWS = 512
"""So many cost little without Arrow's functions, which a short run need not import."""
SPARSE = 16
"""A metric in less than one of this many rows is built from its values alone."""
_KIND_OF = {bool: Kind.BOOL, int: Kind.INT, float: Kind.FLOAT, str: Kind.TEXT}
_FLOAT64, _INT64 = pa.float64(), pa.int64()
_get_format = attrgetter("format")
_Values = Sequence[MetricValue | None]
_Item = TypeVar("_Item")


class RowBlock(msgspec.Struct, frozen=True):
    """Rows of one producer that share their keys, in log order.

    A sequence of numbers may be a memoryview of int64 (format "q") or float64 ("d"): it becomes
    an Arrow array without an object per value.

    Attributes:
        producer: "main", "worker-0", …
        first_seq: the rows have the seqs first_seq, first_seq + 1, …
        steps: the user's steps.
        timestamps_ns: nanoseconds since the epoch.
        keys: metric names, none of those of the fixed columns.
        columns: per key the values, one per row; None is a value not logged.
        fixed: the fixed columns that all rows of the producer share.
    """

    producer: str
    first_seq: int
    steps: Sequence[int | None]
    timestamps_ns: Sequence[int]
    keys: tuple[str, ...]
    columns: Sequence[Sequence[MetricValue | None]]
    fixed: Mapping[str, int | str] = {}


def trim(block: RowBlock, rows: int) -> RowBlock:
    """The block without its first `rows` rows."""
    return replace(
        block,
        first_seq=block.first_seq + rows,
        steps=block.steps[rows:],
        timestamps_ns=block.timestamps_ns[rows:],
        columns=[column[rows:] for column in block.columns],
    )


def halve(block: RowBlock) -> list[RowBlock]:
    """The first and the second half of a block of several rows."""
    rows = len(block.steps) // 2
    first = replace(
        block,
        steps=block.steps[:rows],
        timestamps_ns=block.timestamps_ns[:rows],
        columns=[column[:rows] for column in block.columns],
    )
    return [first, trim(block, rows)]


def build_columns(
    blocks: Sequence[RowBlock], columns: Columns, warn: Warn
) -> tuple[list[pa.Array], dict[str, pa.Array]]:
    """Builds the columns that every file has, and an array per other column with values.

    New columns are placed and existing ones widened in `columns` on the way.
    """
    rows = sum(len(block.steps) for block in blocks)
    keys = blocks[0].keys
    if all(block.keys is keys or block.keys == keys for block in blocks):
        arrays = _of_producers(blocks, columns)
        pieces_of = zip(*(block.columns for block in blocks), strict=True)
        are_floats = all(map(_has_floats_only, blocks))
        for key, same in zip(keys, pieces_of, strict=True):
            if are_floats:
                data = same[0] if len(same) == 1 else b"".join(same)
                arrays[columns.place(key, Kind.FLOAT)] = _of_bytes(_FLOAT64, rows, data)
            else:
                _build_metric(key, _chained(same), columns, arrays, warn)
        return _fixed(blocks, warn), arrays
    parts: dict[str, list[tuple[int, _Values]]] = {}
    start = 0
    for block in blocks:
        for key, values in zip(block.keys, block.columns, strict=True):
            parts.setdefault(key, []).append((start, values))
        start += len(block.steps)
    arrays = _of_producers(blocks, columns)
    for key, pieces in parts.items():
        there = sum(len(values) for _, values in pieces)
        if there * SPARSE > rows:
            _build_metric(key, _joined(pieces, rows), columns, arrays, warn)
            continue
        found: dict[str, pa.Array] = {}
        _build_metric(key, _chained([values for _, values in pieces]), columns, found, warn)
        places = _places(pieces, rows)
        arrays.update({name: array.take(places) for name, array in found.items()})
    return _fixed(blocks, warn), arrays


def _places(pieces: list[tuple[int, _Values]], rows: int) -> pa.Array:
    """For each row which value it has, in order; null for none. It costs no object per row."""
    numbers, valid = memoryview(bytearray(4 * rows)).cast("i"), bytearray(-(-rows // 8))
    number = 0
    for start, values in pieces:
        for row in range(start, start + len(values)):
            numbers[row] = number
            valid[row >> 3] |= 1 << (row & 7)
            number += 1
    buffers = [pa.py_buffer(valid), pa.py_buffer(numbers)]
    return pa.Array.from_buffers(pa.int32(), rows, buffers)


def _joined(pieces: list[tuple[int, _Values]], rows: int) -> _Values:
    if len(pieces) == 1 and len(pieces[0][1]) == rows:
        return pieces[0][1]
    if sum(len(values) for _, values in pieces) == rows:
        return _chained([values for _, values in pieces])
    joined: list[MetricValue | None] = [None] * rows
    for start, values in pieces:
        joined[start : start + len(values)] = values
    return joined


def _chained(pieces: Sequence[Sequence[_Item]]) -> Sequence[_Item]:
    if len(pieces) == 1:
        return pieces[0]
    if set(map(type, pieces)) == {memoryview}:
        formats = {piece.format for piece in pieces}  # type: ignore[attr-defined]
        if len(formats) == 1 and (form := formats.pop()) in ("d", "q"):
            return memoryview(b"".join(pieces)).cast(form)  # type: ignore
    return list(chain.from_iterable(pieces))


def _has_floats_only(block: RowBlock) -> bool:
    columns = block.columns
    return set(map(type, columns)) == {memoryview} and set(map(_get_format, columns)) == {"d"}


def _packed(values: memoryview[Any]) -> pa.Array:
    return _of_bytes(_FLOAT64 if values.format == "d" else _INT64, len(values), values)


def _of_bytes(dtype: pa.DataType, rows: int, data: bytes | memoryview[Any]) -> pa.Array:
    return pa.Array.from_buffers(dtype, rows, [None, pa.py_buffer(data)])


def _build_metric(
    key: str, values: _Values, columns: Columns, arrays: dict[str, pa.Array], warn: Warn
) -> None:
    if isinstance(values, memoryview) and values.format == "d":
        arrays[columns.place(key, Kind.FLOAT)] = _packed(values)
        return
    types = set(map(type, values))
    types.discard(type(None))
    if types == {float}:  # by far the most frequent: straight into Arrow
        name = columns.place(key, Kind.FLOAT)
        arrays[name] = pa.array(values, pa.float64())
        return
    kinds = {_KIND_OF.get(kind, Kind.TEXT) for kind in types}
    numeric = kinds - {Kind.TEXT}
    # The kind that came first takes the metric's own name, also inside one block.
    order = [Kind.TEXT] if Kind.TEXT in kinds else []
    if numeric:
        order.insert(0 if not order or _number_first(values) else 1, max(numeric))
    for kind in order:
        if kind is Kind.TEXT:
            name = columns.place(key, kind)
            arrays[name] = _text_array(values, bool(numeric), name, warn)
        else:
            chosen = [v if _is_number(v) else None for v in values] if len(order) > 1 else values
            _build_numbers(key, chosen, kind, columns, arrays, warn)


def _is_number(value: MetricValue | None) -> TypeGuard[float | int | bool]:
    return type(value) in (float, int, bool)


def _number_first(values: _Values) -> bool:
    return _is_number(next(value for value in values if value is not None))


def _text_array(values: _Values, mixed: bool, name: str, warn: Warn) -> pa.Array:
    if mixed:
        values = [None if _is_number(value) else value for value in values]
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        warn(
            f"surrogate:{name}",
            f"metric column {name!r}: text with lone surrogates is kept as backslash escapes",
        )
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        warn(f"type:{name}", f"metric column {name!r}: a value of an unknown type became text")
    return pa.array([None if v is None else safe_text(str(v)) for v in values], pa.string())


def _build_numbers(
    key: str,
    values: _Values,
    kind: Kind,
    columns: Columns,
    arrays: dict[str, pa.Array],
    warn: Warn,
) -> None:
    name = columns.place(key, kind)
    if columns.kinds[name] is Kind.BOOL:
        arrays[name] = pa.array(values, pa.bool_())
        return
    if columns.kinds[name] is Kind.INT:
        if isinstance(values, memoryview):
            arrays[name] = _packed(values)
            return
        whole = [None if value is None else int(value) for value in values]
        try:
            arrays[name] = pa.array(whole, pa.int64())
            return
        except OverflowError:
            columns.place(key, Kind.FLOAT)
    arrays[name] = pa.array([_to_float(value, name, warn) for value in values], pa.float64())


def _to_float(value: MetricValue | None, name: str, warn: Warn) -> float | None:
    if value is None or type(value) is float:
        return value
    number = int(value)
    if -EXACT_INT <= number <= EXACT_INT:
        return float(number)
    warn(
        f"inexact:{name}",
        f"metric column {name!r} is float64: the integer {_short(number)}, beyond 2**53, "
        "was rounded to the nearest float",
    )
    try:
        return float(number)
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")


def _fixed(blocks: Sequence[RowBlock], warn: Warn) -> list[pa.Array]:
    step, stamp = FIXED["step"], FIXED["timestamp"]
    lengths = [len(block.steps) for block in blocks]
    times = _int64s([block.timestamps_ns for block in blocks], "timestamp", warn)
    # Microseconds, because that is what expman-rs writes; // on int64 in C.
    micros = _divide(times, 1000).view(stamp)
    steps = _int64s([block.steps for block in blocks], "step", warn)
    return [
        steps if steps.type == step else steps.cast(step),
        micros,
        *_names_of_rows(blocks, lengths),
    ]


def _of_producers(blocks: Sequence[RowBlock], columns: Columns) -> dict[str, pa.Array]:
    """The fixed columns of producers for which at least one producer has a value."""
    if not any(block.fixed for block in blocks):
        return {}
    arrays = {}
    for name in PRODUCER_COLUMNS:
        if any(name in block.fixed for block in blocks):
            columns.of_producers.add(name)
            arrays[name] = _concat([_shared(block, name) for block in blocks])
    return arrays


def _shared(block: RowBlock, name: str) -> pa.Array:
    value, rows = block.fixed.get(name), len(block.steps)
    if value is None:
        return absent(name, FIXED[name], rows)
    return pa.repeat(pa.scalar(value, FIXED[name]), rows)


def _names_of_rows(blocks: Sequence[RowBlock], lengths: list[int]) -> list[pa.Array]:
    """Producers and seqs: by Arrow where stretches are long, else one by one."""
    stretches = list(_stretches(blocks, lengths))
    if sum(lengths) < SHORT_BLOCK * len(stretches):
        names = chain.from_iterable(repeat(name, length) for name, _, length in stretches)
        seqs = chain.from_iterable(range(first, first + length) for _, first, length in stretches)
        return [pa.array(list(names), pa.string()), pa.array(list(seqs), pa.int64())]
    return [
        _concat([pa.repeat(pa.scalar(name, pa.string()), length) for name, _, length in stretches]),
        _concat([_count_from(first, length) for _, first, length in stretches]),
    ]


def _stretches(blocks: Sequence[RowBlock], lengths: list[int]) -> Iterator[tuple[str, int, int]]:
    """Producer, first seq and number of rows that follow each other, over blocks."""
    name, first, rows = blocks[0].producer, blocks[0].first_seq, 0
    for block, length in zip(blocks, lengths, strict=True):
        if block.producer != name or block.first_seq != first + rows:
            yield safe_text(name), first, rows
            name, first, rows = block.producer, block.first_seq, 0
        rows += length
    yield safe_text(name), first, rows


def _concat(arrays: list[pa.Array]) -> pa.Array:
    return arrays[0] if len(arrays) == 1 else pa.concat_arrays(arrays)


def _count_from(first: int, length: int) -> pa.Array:
    if length <= FEW_ROWS:
        return pa.array(range(first, first + length), pa.int64())
    from expman.storage.computing import count_from

    return count_from(first, length)


def _divide(array: pa.Array, divisor: int) -> pa.Array:
    """The quotients, rounded towards zero."""
    if len(array) <= FEW_ROWS:
        numbers = array.to_pylist()
        whole = [n if n is None else n // divisor if n >= 0 else -(-n // divisor) for n in numbers]
        return pa.array(whole, pa.int64())
    from expman.storage.computing import call_function

    return call_function("divide", [array, pa.scalar(divisor, pa.int64())])


def _int64s(pieces: list[Sequence[int | None]], name: str, warn: Warn) -> pa.Array:
    values = _chained(pieces)
    if isinstance(values, memoryview):
        return _packed(values)
    try:
        return pa.array(values, pa.int64())
    except OverflowError:
        kept: list[int | None] = []
        for value in values:
            if value is not None and not INT64_MIN <= value <= INT64_MAX:
                warn(f"int64:{name}", f"{name} {_short(value)} is outside int64; stored as null")
                value = None
            kept.append(value)
        return pa.array(kept, pa.int64())


def _short(number: int) -> str:
    # str() of a huge integer is slow, and refused by Python past 4,300 digits.
    return str(number) if number.bit_length() <= 256 else f"of {number.bit_length()} bits"
