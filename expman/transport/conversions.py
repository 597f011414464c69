"""Rows of scalars of numpy and tensors of torch, converted to plain numbers in a few C calls.

A row is converted only if the type of each of its values was learned from an earlier row, whose
plain values `values.plain_row` had found: any other row takes that way again. Neither
library is imported; their types are known from values that were logged.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from expman.transport.values import is_numpy_scalar

__all__ = ["Getter", "RowConversion"]

Getter: TypeAlias = Callable[[Mapping[str, object]], tuple[Any, ...]]
"""Takes the values of a row. Raises one of `schemas.REFUSALS` if it cannot."""
_Read: TypeAlias = Callable[[Any], object]
_Forms: TypeAlias = dict[tuple[type, ...], struct.Struct]

MOST_FORMS = 4
"""Rows of one set of names that have more combinations of types are converted value by value."""
_FORMATS: dict[type, str] = {float: "d", int: "q", bool: "?"}
"""How `struct` packs a type without loss; those of numpy are added as they are learned."""
_reads: dict[type, _Read] = {float: float, int: int, bool: bool}
"""Makes a plain number of a value of a learned type."""
_TENSORS = {("torch", "Tensor"), ("torch.nn.parameter", "Parameter")}


class RowConversion:
    """Converts rows with one set of names.

    Args:
        getter: takes the values of a row as they were logged.
    """

    def __init__(self, getter: Getter) -> None:
        self._raw = getter
        self._forms: _Forms = {}
        self._is_general = False

    def learn(self, raw: Iterable[object], plain: Iterable[object]) -> Getter | None:
        """The getter for rows like this one, and like those learned before.

        Args:
            raw: the row's values as they were logged.
            plain: the same as plain numbers.

        Returns:
            None: a value has a type that is not known here.
        """
        raw = list(raw)
        if not all(map(_learn_type, raw, plain)):
            return None
        kinds = tuple(map(type, raw))
        is_new = not self._is_general and not self._forms
        if is_new and all(issubclass(kind, float) for kind in kinds):  # float64 of numpy is one
            return _get_floats(self._raw)
        is_packable = all(kind in _FORMATS for kind in kinds)
        if not self._is_general and is_packable and len(self._forms) < MOST_FORMS:
            pattern = "=" + "".join(_FORMATS[kind] for kind in kinds)
            self._forms[kinds] = struct.Struct(pattern)
            return _get_packed(self._raw, self._forms, kinds)
        self._is_general = True
        if is_new and len(set(kinds)) == 1:
            return _get_tensors(self._raw, kinds[0])
        return _get_each(self._raw)


def _learn_type(value: Any, plain: object) -> bool:
    kind = type(value)
    if kind in _reads:
        return True
    if is_numpy_scalar(kind) and value.dtype.kind in "biuf" and type(plain) in _FORMATS:
        is_uint64 = value.dtype.kind == "u" and value.dtype.itemsize == 8
        _FORMATS[kind] = "Q" if is_uint64 else _FORMATS[type(plain)]
        _reads[kind] = type(plain)
        return True
    if (kind.__module__, kind.__name__) in _TENSORS:
        _reads[kind] = _read_tensor
        return True
    return False


def _read_tensor(tensor: Any) -> object:
    return _read_tensors((tensor,), type(tensor))[0]


def _read_tensors(tensors: tuple[Any, ...], kind: Any) -> tuple[object, ...]:
    """Reads scalars on the CPU; one of a device is refused, for reading it waits for the device."""
    try:
        plain = [v.item() for v in tensors if type(v) is kind and not v.ndim and v.is_cpu]
    except TimeoutError:  # a signal handler's, and the caller's
        raise
    except Exception as exc:  # torch raises RuntimeError where a tensor has no value
        raise TypeError("a tensor that cannot be read") from exc
    if len(plain) < len(tensors):
        raise TypeError("a value that is not a scalar on the CPU")
    return tuple(plain)


def _get_floats(raw: Getter) -> Getter:
    """For floats and their subclasses: a C call that takes any of these, and nothing else."""
    read = float.conjugate
    return lambda values: tuple(map(read, raw(values)))


def _get_packed(raw: Getter, forms: _Forms, now: tuple[type, ...]) -> Getter:
    """For numbers: `struct` converts a row there and back, exactly.

    Args:
        raw: takes the values as they were logged.
        forms: formats by the types of a row.
        now: the types of the row that is expected first.
    """
    form = now, forms[now].pack, forms[now].unpack  # replaced as a whole: threads may race

    def get(values: Mapping[str, object]) -> tuple[object, ...]:
        nonlocal form
        row = raw(values)
        kinds = tuple(map(type, row))
        expected, pack, unpack = form
        if kinds != expected:
            other = forms[kinds]
            form = _, pack, unpack = kinds, other.pack, other.unpack
        try:
            return unpack(pack(*row))
        except struct.error as exc:
            raise ValueError("an int beyond 64 bits") from exc

    return get


def _get_tensors(raw: Getter, kind: type) -> Getter:
    """For tensors alone: without a call for each."""
    return lambda values: _read_tensors(raw(values), kind)


def _get_each(raw: Getter) -> Getter:
    """For values of any learned types."""
    reads = _reads
    return lambda values: tuple([reads[type(value)](value) for value in raw(values)])
