"""The sets of metric names that a producer logs, and how rows of each are encoded."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any

import msgspec

from expman.transport import encoding, values

__all__ = ["MIXED", "PLAIN", "REFUSALS", "RowCodec", "RowSchema", "Schemas"]

REFUSALS = (ArithmeticError, AttributeError, LookupError, StopIteration, TypeError, ValueError)
"""What a codec, a getter or an append raises. Not all exceptions: what a signal handler raises in
the middle of a call (TimeoutError, …) is the caller's."""
_NUMBERS = frozenset({float, int, bool})
MOST_SCHEMAS = 1024
"""When there are more, all are forgotten, and rows define theirs again."""


class RowSchema(msgspec.Struct, frozen=True):
    """A set of metric names.

    Attributes:
        number: stands for the names in the records of a lane.
        getter: takes the values of a row, in the order of `keys`.
        keys: the names.
    """

    number: int
    getter: Callable[[Mapping[str, object]], tuple[object, ...]]
    keys: tuple[str, ...]


class RowCodec(msgspec.Struct, frozen=True):
    """Encoder and validator for one kind of row.

    Attributes:
        encode: encodes a record; raises for types that it does not know.
        check: is called with the row, twice; raises for a value that can be encoded but is no
            number.
    """

    encode: Callable[[object], bytes]
    check: Callable[[tuple[Any, ...], tuple[Any, ...]], object]

    def takes(self, row: tuple[object, ...]) -> bool:
        """Whether it takes these values as they are."""
        try:
            self.encode(row)  # first: the check of a tensor with a gradient would warn
            self.check(row, row)
        except REFUSALS:
            return False
        return True


PLAIN = RowCodec(encoding.encode_plain, math.dist)
"""For rows of plain floats, ints and bools. The distance of a row to itself is the fastest C call
that looks at each value: it needs real numbers (msgspec alone would encode None, lists, dates)."""
MIXED = RowCodec(encoding.encode, values.check_types)
"""For rows with scalars of numpy, torch and others, which the encoder's hook reads. Computing with
them would take longer than all the rest."""


class Schemas:
    """The schemas of a producer, and the codec that rows of each had last."""

    def __init__(self) -> None:
        self._by_keys: dict[tuple[str, ...], RowSchema] = {}
        self._codecs: dict[int, RowCodec] = {}
        self._numbers = itertools.count()

    def read(
        self, values_: Mapping[str, object]
    ) -> tuple[RowSchema, tuple[object, ...], RowCodec | None]:
        """A row's schema and its checked values; also the codec, if that has checked them.

        Raises:
            TypeError, ValueError: naming the key and the type.
        """
        if type(values_) is dict:
            schema = self._by_keys.get(tuple(values_))
            codec = None if schema is None else self._codecs.get(schema.number)
            if (
                schema is not None
                and codec is not None
                and codec.takes(row := schema.getter(values_))
            ):
                return schema, row, codec
        plain = values.plain_row(values_)
        keys = tuple(plain)
        return self._by_keys.get(keys) or self._define(keys), tuple(plain.values()), None

    def _define(self, keys: tuple[str, ...]) -> RowSchema:
        if len(self._by_keys) >= MOST_SCHEMAS:
            self._by_keys.clear()
            self._codecs.clear()
        getter: Callable[[Mapping[str, object]], tuple[object, ...]]
        match keys:
            case ():
                getter = _nothing
            case (only,):
                getter = lambda row: (row[only],)  # noqa: E731
            case _:
                getter = itemgetter(*keys)
        # A call in between may number the same names, too: both numbers are good.
        schema = self._by_keys[keys] = RowSchema(next(self._numbers), getter, keys)
        return schema

    def learn(
        self, schema: RowSchema, raw: Iterable[object], plain: tuple[object, ...]
    ) -> RowCodec | None:
        """The codec for rows like this one; None: each needs the checks of the slow path.

        Args:
            schema: the row's names.
            raw: its values as they were logged.
            plain: the same as plain values.
        """
        if str in map(type, plain):
            return None
        raw = list(raw)
        if _NUMBERS.issuperset(map(type, raw)):
            return self._codecs.setdefault(schema.number, PLAIN)
        if values.learn_types(raw, plain, encoding.encode):
            self._codecs[schema.number] = MIXED
            return MIXED
        return None


def _nothing(row: Mapping[str, object]) -> tuple[object, ...]:
    return ()
