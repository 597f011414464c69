"""Arrays of numpy, torch and others, and nested lists, as bytes that are not copied."""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Sequence
from typing import Any

from expman.shown import type_name

__all__ = [
    "ACCEPTED",
    "CODES",
    "FLOATS",
    "bytes_of",
    "check_values",
    "code_of",
    "pixels_of",
    "plain_array",
    "shape_of",
    "view_of",
]

ACCEPTED = (
    "pass an array of shape (height, width), (height, width, channels) or (channels, height, width)"
    " with 1, 3 or 4 channels, of uint8, bool, or floats within 0 and 1; or nested lists of"
    " integers within 0 and 255 or floats within 0 and 1; or a PIL image, a path, or the bytes of a"
    " PNG, JPEG, GIF, WebP, BMP or TIFF file"
)
FLOATS = "fd"
CODES = {"B", "?", "f", "d"}


def pixels_of(image: Any) -> memoryview | None:
    """The buffer of an array that can be a picture as it is; None of anything else."""
    try:
        view = memoryview(image)
    except (TypeError, ValueError, BufferError):
        return None
    return view if view.ndim in (2, 3) and view.format in CODES else None


def plain_array(what: str, value: Any) -> Any:
    """The value as something that has a buffer."""
    if callable(getattr(value, "detach", None)):  # torch: a GPU's tensor is copied to the CPU
        value = value.detach().cpu()
        if str(value.dtype) in ("torch.float16", "torch.bfloat16"):
            value = value.float()
        value = value.numpy()
    elif isinstance(value, list | tuple):
        return _array_of_lists(what, value)
    elif not _has_buffer(value) and callable(getattr(value, "__array__", None)):
        value = value.__array__()
    if str(getattr(value, "dtype", "")) in ("float16", "bfloat16"):
        value = value.astype("float32")
    return value


def _has_buffer(value: Any) -> bool:
    try:
        memoryview(value).release()
    except (TypeError, ValueError, BufferError):
        return False
    return True


def view_of(what: str, value: Any) -> memoryview:
    """The buffer of an array.

    Raises:
        TypeError: it has none, or one of another type.
    """
    try:
        view = memoryview(value)
    except (TypeError, ValueError, BufferError) as exc:
        raise TypeError(f"{what} is {type_name(value)}; {ACCEPTED}") from exc
    if code_of(view) not in "B?fd":
        kind = getattr(value, "dtype", view.format)
        raise TypeError(f"{what} of shape {shape_of(view)} has values of type {kind}; {ACCEPTED}")
    return view


def shape_of(view: memoryview) -> tuple[int, ...]:
    """The shape of a buffer; empty for a single value."""
    return view.shape or ()


def code_of(view: memoryview) -> str:
    """The type of a value as memoryview has it; this machine's order of bytes is left out."""
    return view.format.lstrip("@=<" if sys.byteorder == "little" else "@=>")


def bytes_of(view: memoryview) -> memoryview | bytes:
    """The bytes in the order of the shape; copied only if they do not lie like that."""
    if view.c_contiguous:
        return view.cast("B")
    numpy = sys.modules.get("numpy")  # ten times as quick
    return view.tobytes() if numpy is None else numpy.ascontiguousarray(view).data.cast("B")


def check_values(what: str, value: Any, view: memoryview, data: memoryview | bytes) -> None:
    """Checks that floats are within 0 and 1.

    Args:
        what: words for the message.
        value: the array.
        view: its buffer.
        data: its bytes.

    Raises:
        ValueError: naming the range.
    """
    code = code_of(view)
    if code not in FLOATS or _are_shares(code, data):
        return
    if callable(getattr(value, "min", None)):  # numpy's: NaN comes through
        low, high = float(value.min()), float(value.max())
    else:
        flat = view.cast("B").cast(code_of(view))  # type: ignore[call-overload]
        low, high = min(flat), max(flat)
        low = low if all(map(math.isfinite, flat)) else math.nan
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"{what} has values that are not finite; replace NaN and infinity")
    if low < 0 or high > 1:
        raise ValueError(
            f"{what} has floats from {low:.6g} to {high:.6g}, which must be within 0 and 1; scale "
            "them, or pass uint8"
        )


def _are_shares(code: str, data: memoryview | bytes) -> bool:
    """True if all floats are within 0 and 1; one look at the bits of each, by numpy.

    As whole numbers they have the order of the floats, and NaN, infinity and those below zero come
    behind 1. So does -0.0, which is left to a second look.
    """
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return False
    size, one = (4, 0x3F800000) if code == "f" else (8, 0x3FF0000000000000)
    return bool(numpy.frombuffer(data, f"u{size}").max() <= one)


def _array_of_lists(what: str, rows: Sequence[Any]) -> memoryview:
    """Nested lists of numbers as a buffer with their shape."""
    shape: list[int] = []
    level: Any = rows
    while isinstance(level, list | tuple):
        shape.append(len(level))
        level = level[0] if level else None
    flat: list[Any] = list(rows)
    for size in shape[1:]:
        if not all(isinstance(item, list | tuple) and len(item) == size for item in flat):
            raise ValueError(f"{what}: the lists have different lengths")
        flat = [value for item in flat for value in item]
    try:
        if all(type(value) is int for value in flat):
            numbers: bytes | array[float] = bytes(flat)
        else:
            numbers = array("d", flat)
    except (TypeError, ValueError) as exc:
        raise ValueError(f"{what}: lists need floats, or integers within 0 and 255: {exc}") from exc
    code = "B" if isinstance(numbers, bytes) else "d"
    if not flat:
        raise ValueError(f"{what} has the shape {tuple(shape)}: it is empty")
    return memoryview(numbers).cast("B").cast(code, shape)  # type: ignore[call-overload,no-any-return]
