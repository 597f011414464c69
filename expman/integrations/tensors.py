"""Tensors and arrays of any library as numpy's, for integrations. numpy comes with them."""

from __future__ import annotations

import io
from typing import Any

__all__ = ["array_of", "npy_of", "number_of", "ordered", "picture_of", "pixels_of", "step_of"]


def array_of(values: Any) -> Any:
    """A numpy array of a tensor, a sequence, or numbers."""
    import numpy as np

    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if str(getattr(values, "dtype", "")) == "torch.bfloat16":
            values = values.float()
        return values.numpy()
    return np.asarray(values)


def number_of(value: Any) -> Any:
    """The number of what has one element; TensorBoard takes these too."""
    if isinstance(value, int | float):
        return value
    if hasattr(value, "detach"):
        return value.detach().cpu().item()
    return array_of(value).item() if hasattr(value, "shape") else value


def step_of(step: Any) -> int | None:
    """A step as an int; None stays."""
    return None if step is None else int(number_of(step))


def ordered(array: Any, given: str, wanted: str) -> Any:
    """The array with its axes in the wanted order; an axis that is not there has one place."""
    axes = given.upper()
    if array.ndim != len(axes) or set(axes) - set(wanted):
        raise ValueError(
            f"the shape {array.shape} does not go with dataformats={given!r}; expected the axes "
            f"{wanted} in any order"
        )
    order = [axes.index(axis) for axis in wanted if axis in axes]
    array = array.transpose(order)
    for place, axis in enumerate(wanted):
        if axis not in axes:
            array = array[(slice(None),) * place + (None,)]
    return array


def picture_of(values: Any, dataformats: str) -> Any:
    """A picture of shape (height, width, channels), uint8; `dataformats` names its axes."""
    array = array_of(values)
    return pixels_of(ordered(array, dataformats, "HWC"))


def pixels_of(pixels: Any) -> Any:
    """Pixels as uint8: floats are within 0 and 1, as TensorBoard takes them."""
    import numpy as np

    if pixels.shape[-1] == 1:
        pixels = pixels.repeat(3, axis=-1)
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    if pixels.dtype == bool or pixels.dtype.kind == "f":
        pixels = pixels.astype(float) * 255.0
    return np.ascontiguousarray(np.nan_to_num(pixels).clip(0, 255).astype(np.uint8))


def npy_of(values: Any) -> bytes:
    """The bytes of a .npy file."""
    import numpy as np

    file = io.BytesIO()
    np.save(file, array_of(values), allow_pickle=False)
    return file.getvalue()
