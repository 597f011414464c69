"""Reads arrays, tensors and series of any library by what they share: shape and dtype."""

from __future__ import annotations

import contextlib
import math
from typing import Any

from expman.transport.structure import has_base

__all__ = ["digest_of", "is_array", "is_scalar", "item_of", "parts", "summary"]

MAX_VALUES = 1000
_READERS = ("tolist", "to_list")
_TO_NUMPY = ("to_numpy", "numpy", "get")


def is_array(value: object) -> bool:
    """True if a value is an array, a tensor, a series or a scalar of numpy."""
    kind = type(value)
    return hasattr(kind, "shape") and hasattr(kind, "dtype")


def is_scalar(value: Any) -> bool:
    """True if an array has no dimensions."""
    return len(value.shape) == 0


def item_of(value: Any) -> object:
    """The value of an array without dimensions, read from its device.

    Returns:
        None for NaT and for a masked value; the array itself if its library has no plain value.
    """
    if hasattr(type(value), "mask") and value.mask:
        return None
    if _kind_of(value) in ("M", "m"):
        return _moment(value)
    return value.item() if hasattr(value, "item") else value.numpy().item()


def _kind_of(value: Any) -> str:
    return str(getattr(value.dtype, "kind", ""))


def _moment(value: Any) -> object:
    """A datetime64 or timedelta64; numpy gives those finer than microseconds as integers."""
    item = value.item()
    if not isinstance(item, int):
        return item
    coarse = value.astype(f"{value.dtype.kind}8[us]")
    return coarse.item() if coarse == value and not isinstance(coarse.item(), int) else str(value)


def parts(value: Any) -> list[object] | dict[object, object] | None:
    """The values of a small array, nested as its dimensions are; None if it is large.

    A series with an index of its own gives a mapping, unless a label occurs twice.
    """
    if math.prod(value.shape) > MAX_VALUES:
        return None
    if _kind_of(value) in ("M", "m") and not has_base(value, "pandas", "Series"):
        return list(value)
    values = _listed(value)
    if not has_base(value, "pandas", "Series") or not value.index.is_unique:
        return values
    labels = value.index.tolist()
    return values if labels == list(range(len(values))) else dict(zip(labels, values, strict=True))


def _listed(value: Any) -> list[object]:
    for name in _READERS:
        if hasattr(value, name):
            return list(getattr(value, name)())
    return list(value.numpy().tolist())


def summary(value: Any) -> dict[str, object]:
    """Shape, dtype and digest of a large array."""
    return {
        "shape": [int(size) for size in value.shape],
        "dtype": str(value.dtype),
        "digest": digest_of(value),
    }


def digest_of(value: Any) -> str | None:
    """A digest of the values' bytes in C order; None if the values are not stored as bytes."""
    import hashlib

    try:
        data = value if isinstance(value, bytes) else _bytes_of(value)
    except Exception:  # noqa: BLE001 - any library may refuse in its own way
        return None
    return None if data is None else f"blake2b:{hashlib.blake2b(data, digest_size=16).hexdigest()}"


def _bytes_of(value: Any) -> bytes | memoryview | None:
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    for name in _TO_NUMPY:
        if hasattr(value, name):
            value = getattr(value, name)()
            break
    if getattr(value.dtype, "hasobject", False):
        return None
    with contextlib.suppress(TypeError, ValueError, BufferError):
        view = memoryview(value)
        if view.c_contiguous:
            return view.cast("B")  # no copy
    return bytes(value.tobytes())
