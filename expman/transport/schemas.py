"""The sets of metric names that a producer logs, and how rows of each are encoded."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any

import msgspec

from expman.transport import encoding, values
from expman.transport.conversions import Getter, RowConversion

__all__ = [
    "CONVERTED",
    "MIXED",
    "PLAIN",
    "REFUSALS",
    "RowCodec",
    "RowSchema",
    "Schemas",
    "Taking",
    "raised_by_value",
]

REFUSALS = (
    *(ArithmeticError, AttributeError, LookupError, RecursionError, StopIteration, TypeError),
    ValueError,
)
"""What a codec, a getter or an append raises. Not all exceptions: what a signal handler raises in
the middle of a call (TimeoutError, …) is the caller's."""
_NUMBERS = frozenset({float, int, bool})
MOST_SCHEMAS = 1024
"""When there are more, all are forgotten, and rows define theirs again."""


class RowSchema(msgspec.Struct, frozen=True):
    """A set of metric names.

    Attributes:
        number: stands for the names in the records of a lane.
        getter: takes the values of a row, in the order of `keys`, converted if the codec needs it.
        keys: the names.
    """

    number: int
    getter: Getter
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
        except Exception as exc:
            if not raised_by_value(exc):
                raise
            return False
        return True


def raised_by_value(exc: Exception) -> bool:
    """Whether a value of the user's has raised it as it was asked for its number.

    msgspec encodes a dataclass by its fields, so its `__float__` is only called by the check. An
    exception of a signal handler has the handler's frame there, and is the caller's.

    Args:
        exc: raised by a call of the function that has caught it.
    """
    inner = exc.__traceback__ and exc.__traceback__.tb_next
    return inner is not None and inner.tb_frame.f_code.co_name == "__float__"


PLAIN = RowCodec(encoding.encode_plain, math.dist)
"""For rows of plain floats, ints and bools. The distance of a row to itself is the fastest C call
that looks at each value: it needs real numbers (msgspec alone would encode None, lists, dates)."""
CONVERTED = RowCodec(encoding.encode_plain, operator.is_)
"""For rows that `conversions` made of plain numbers: nothing is left to check."""
MIXED = RowCodec(encoding.encode, values.check_types)
"""For rows with scalars that `conversions` does not know: the encoder's hook reads them. Computing
with them would take longer than all the rest."""


class Taking(msgspec.Struct, frozen=True):
    """What rows of one set of names are taken with.

    Attributes:
        schema: with the getter that the codec needs.
        codec: for what the getter takes.
    """

    schema: RowSchema
    codec: RowCodec

    def take(self, values_: Mapping[str, object]) -> tuple[object, ...] | None:
        """The row's values as they are encoded; None if it does not take them."""
        try:
            row = self.schema.getter(values_)
        except REFUSALS:
            return None
        return row if self.codec.takes(row) else None


class Schemas:
    """The schemas of a producer, and what rows of each were taken with last."""

    def __init__(self) -> None:
        self._by_keys: dict[tuple[str, ...], RowSchema] = {}
        self._taking: dict[int, Taking] = {}
        self._conversions: dict[int, RowConversion] = {}
        self._numbers = itertools.count()

    def read(
        self, values_: Mapping[str, object]
    ) -> tuple[RowSchema, tuple[object, ...], Taking | None]:
        """A row's schema and its checked values; also what has taken them, if that is known.

        Raises:
            TypeError, ValueError: naming the key and the type.
        """
        if type(values_) is dict:
            schema = self._by_keys.get(tuple(values_))
            taking = None if schema is None else self._taking.get(schema.number)
            if schema is not None and taking is not None:
                row = taking.take(values_)
                if row is not None:
                    return schema, row, taking
        plain = values.plain_row(values_)
        keys = tuple(plain)
        return self._by_keys.get(keys) or self._define(keys), tuple(plain.values()), None

    def _define(self, keys: tuple[str, ...]) -> RowSchema:
        if len(self._by_keys) >= MOST_SCHEMAS:
            self._by_keys.clear()
            self._taking.clear()
            self._conversions.clear()
        getter: Getter
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
    ) -> Taking | None:
        """What takes rows like this one; None: each needs the checks of the slow path.

        Args:
            schema: the row's names.
            raw: its values as they were logged.
            plain: the same as plain values.
        """
        if str in map(type, plain):
            return None
        raw, number = list(raw), schema.number
        conversion = self._conversions.get(number)
        if conversion is None and _NUMBERS.issuperset(map(type, raw)):
            return self._taking.setdefault(number, Taking(schema, PLAIN))
        last = self._taking.get(number)
        if last is None or last.codec is not MIXED:  # else rows of two ways would miss in turn
            conversion = conversion or RowConversion(schema.getter)
            getter = conversion.learn(raw, plain)
            if getter is not None:
                self._conversions[number] = conversion
                converted = msgspec.structs.replace(schema, getter=getter)
                taking = self._taking[number] = Taking(converted, CONVERTED)
                return taking
        if not values.learn_types(raw, plain, encoding.encode):
            return None
        taking = self._taking[number] = Taking(schema, MIXED)
        return taking


def _nothing(row: Mapping[str, object]) -> tuple[object, ...]:
    return ()
