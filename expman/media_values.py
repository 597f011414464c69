"""What pictures, sounds and distributions may be given as, and how they travel.

Objects of numpy, torch, Pillow and matplotlib are recognized by what they can do: nothing of them
is imported here. An array goes to the writer as its bytes, which are not copied here.
"""

from __future__ import annotations

import io
import math
import os
import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterable
from typing import Any

import msgspec

from expman.media_arrays import (
    ACCEPTED,
    CODES,
    FLOATS,
    bytes_of,
    check_values,
    code_of,
    pixels_of,
    plain_array,
    shape_of,
    view_of,
)
from expman.shown import count_of, shown, type_name

__all__ = [
    "Medium",
    "Pixels",
    "audio_of",
    "checked_bins",
    "figure_of",
    "file_of",
    "frames_of",
    "histogram_of",
    "image_of",
]

Pixels = tuple[str, tuple[int, ...], bool, float]

_CHANNELS = (1, 3, 4)
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpg"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"II*\0", "tif"),
    (b"MM\0*", "tif"),
)
_LARGEST = sys.float_info.max


class Medium(msgspec.Struct, frozen=True):
    """Something to be stored.

    Attributes:
        extension: of the file's name.
        data: the bytes.
        pixels: how raw ones lie; None if they are encoded.
    """

    extension: str
    data: bytes | memoryview
    pixels: Pixels | None = None


# -- pictures -------------------------------------------------------------------------------------


def image_of(tag: str, image: Any) -> Medium:
    """A picture of any kind.

    Raises:
        FileNotFoundError, PermissionError: of a path.
        TypeError, ValueError: naming the tag, the shape, and what is accepted.
    """
    view = pixels_of(image)
    if view is not None:  # what most are: nothing else is asked of it
        return _raw_image(tag, image, view)
    if isinstance(image, str | os.PathLike):
        return _encoded_image(tag, _read(image), f"file {os.fspath(image)!r}")
    if isinstance(image, bytes | bytearray):
        return _encoded_image(tag, bytes(image), f"{len(image):,} bytes")
    if callable(getattr(image, "savefig", None)):
        return figure_of(tag, image)
    if hasattr(image, "mode") and callable(getattr(image, "convert", None)):
        return _pil_image(image)
    values = plain_array(f"image {tag!r}", image)
    view = view_of(f"image {tag!r}", values)
    if isinstance(image, list | tuple) and view.ndim == 1:
        what = f"a {type_name(image)} of {count_of(len(image), 'number')}, not of rows"
        raise TypeError(f"image {tag!r} is {what}; {ACCEPTED}")
    return _raw_image(tag, values, view)


def _raw_image(tag: str, values: Any, view: memoryview) -> Medium:
    code, shape = view.format, shape_of(view)
    if code not in CODES:
        code = code_of(view)
    channels_first = _channels_first(tag, shape)
    data = bytes_of(view)
    if code in FLOATS:
        check_values(f"image {tag!r} of shape {shape}", values, view, data)
    return Medium("png", data, (code, shape, channels_first, 0.0))


def frames_of(tag: str, frames: Any, fps: float) -> Medium:
    """Frames of shape (time, height, width, channels) or (time, channels, height, width).

    Raises:
        TypeError, ValueError: naming the tag, the shape, and what is accepted.
    """
    if not (isinstance(fps, int | float) and 0 < fps <= 1000):
        raise ValueError(f"video {tag!r}: fps {shown(fps)} must be a number within 0 and 1,000")
    values = plain_array(f"video {tag!r}", frames)
    view = view_of(f"video {tag!r}", values)
    if view.ndim not in (3, 4):
        raise ValueError(
            f"video {tag!r} has the shape {shape_of(view)}; pass frames of shape (time, height, "
            "width), (time, height, width, channels) or (time, channels, height, width), or bytes"
        )
    channels_first = _channels_first(tag, shape_of(view)[1:])
    data = bytes_of(view)
    check_values(f"video {tag!r} of shape {shape_of(view)}", values, view, data)
    return Medium("apng", data, (code_of(view), shape_of(view), channels_first, float(fps)))


def figure_of(tag: str, figure: Any) -> Medium:
    """A matplotlib figure, drawn here and now.

    Raises:
        TypeError: it is none.
    """
    if not callable(getattr(figure, "savefig", None)):
        raise TypeError(f"figure {tag!r} is {type_name(figure)}, not a figure of matplotlib")
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return Medium("png", file.getvalue())


def _encoded_image(tag: str, data: bytes, what: str) -> Medium:
    for start, extension in _MAGIC:
        if data.startswith(start):
            return Medium(extension, data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return Medium("webp", data)
    raise ValueError(f"image {tag!r}: {what} is not a picture; {ACCEPTED}")


def _pil_image(image: Any) -> Medium:
    channels = {"L": 1, "RGB": 3, "RGBA": 4}
    if image.mode not in channels:
        has_alpha = image.mode in ("LA", "PA", "La", "RGBa") or "transparency" in image.info
        image = image.convert("RGBA" if has_alpha else "L" if image.mode == "1" else "RGB")
    width, height = image.size
    return Medium("png", image.tobytes(), ("B", (height, width, channels[image.mode]), False, 0.0))


def _channels_first(tag: str, shape: tuple[int, ...]) -> bool:
    if 0 in shape:
        raise ValueError(f"image {tag!r} has the shape {shape}: it is empty")
    if len(shape) == 2 or (len(shape) == 3 and shape[2] in _CHANNELS):
        return False
    if len(shape) == 3 and shape[0] in _CHANNELS:
        return True
    raise ValueError(f"image {tag!r} has the shape {shape}; {ACCEPTED}")


# -- sounds and files -----------------------------------------------------------------------------


def audio_of(tag: str, data: Any, extension: str, sample_rate: int | None) -> Medium:
    """Encoded bytes, a path, or samples that become a WAV of 16 bits.

    Raises:
        FileNotFoundError, PermissionError: of a path.
        TypeError, ValueError: naming the tag, the shape, and what is accepted.
    """
    if isinstance(data, str | os.PathLike | bytes | bytearray):
        return file_of(data, extension)
    what = f"audio {tag!r}"
    if type(sample_rate) is not int or not 0 < sample_rate < 2**31:
        raise ValueError(f"{what}: samples need sample_rate=, a whole number of samples per second")
    values = plain_array(what, data)
    try:
        view = memoryview(values)
    except (TypeError, ValueError, BufferError) as exc:
        raise TypeError(f"{what} is {type_name(data)}; pass samples, bytes or a path") from exc
    shape = shape_of(view)
    if view.ndim not in (1, 2) or 0 in shape or (view.ndim == 2 and shape[1] > 32):
        raise ValueError(f"{what} has the shape {shape}; pass (time,) or (time, channels)")
    code = code_of(view)
    if code == "h":
        samples = array("h", bytes(bytes_of(view)))
    elif code in FLOATS:
        found = _whole_samples(code, bytes_of(view))
        if found is None:
            raise ValueError(f"{what} of shape {shape} has floats beyond -1 and 1, or NaN")
        samples = found
    else:
        raise TypeError(f"{what} has values of type {code!r}; pass int16, or floats to 1")
    return Medium("wav", _wav(samples, 1 if view.ndim == 1 else shape_of(view)[1], sample_rate))


def _whole_samples(code: str, data: memoryview | bytes) -> array[int] | None:
    """Floats as samples of 16 bits; None if one is beyond -1 and 1, or NaN."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        floats = numpy.frombuffer(data, code).astype("f8")
        if not (numpy.abs(floats) <= 1).all():
            return None
        return array("h", numpy.rint(floats * 32767).astype("i2").tobytes())
    flat = array(code, bytes(data))
    if not all(-1 <= value <= 1 for value in flat):
        return None
    return array("h", [round(value * 32767) for value in flat])


def _wav(samples: array[int], channels: int, sample_rate: int) -> bytes:
    import wave

    if sys.byteorder == "big":
        samples.byteswap()
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(channels)
        wav.setsampwidth(2)
        wav.setframerate(sample_rate)
        wav.writeframes(samples.tobytes())
    return file.getvalue()


def file_of(data: str | os.PathLike[str] | bytes | bytearray, extension: str) -> Medium:
    """Encoded bytes, or the content and the extension of a file.

    Raises:
        FileNotFoundError, PermissionError: of a path.
    """
    if isinstance(data, bytes | bytearray):
        return Medium(extension, bytes(data))
    return Medium(os.path.splitext(os.fspath(data))[1].lstrip(".") or extension, _read(data))


def _read(path: str | os.PathLike[str]) -> bytes:
    with open(path, "rb") as file:
        return file.read()


# -- distributions --------------------------------------------------------------------------------


def histogram_of(tag: str, values: Any, bins: int) -> tuple[list[float], list[int], int]:
    """Edges and counts of values, and how many of them are not finite.

    Raises:
        TypeError, ValueError: naming the tag.
    """
    what = f"histogram {tag!r}"
    if type(bins) is not int or not 0 < bins <= 10_000:
        raise ValueError(f"{what}: bins {shown(bins)} must be a whole number within 1 and 10,000")
    if callable(getattr(values, "detach", None)):
        values = plain_array(what, values)
    numpy = sys.modules.get("numpy")
    if numpy is not None and hasattr(values, "__array__"):
        return _numpy_histogram(numpy, what, values, bins)
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError) as exc:
        raise TypeError(f"{what}: values are {type_name(values)}, not numbers: {exc}") from exc
    finite = [number for number in numbers if math.isfinite(number)]
    edges = _edges(min(finite, default=0.0), max(finite, default=1.0), bins)
    counts = [0] * bins
    for number in finite:
        counts[min(max(bisect_right(edges, number) - 1, 0), bins - 1)] += 1
    return edges, counts, len(numbers) - len(finite)


def _edges(low: float, high: float, bins: int) -> list[float]:
    if low == high:
        half = max(0.5, abs(low) * 2**-20)  # of a large value half a unit would be nothing
        low, high = max(low - half, -_LARGEST), min(high + half, _LARGEST)
    step = high / bins - low / bins
    return [min(low + step * n, high) for n in range(bins)] + [high]


def _numpy_histogram(
    numpy: Any, what: str, values: Any, bins: int
) -> tuple[list[float], list[int], int]:
    flat = numpy.asarray(values).reshape(-1)
    if flat.dtype.kind not in "fiub":
        raise TypeError(f"{what} of shape {flat.shape} has {flat.dtype} values, not numbers")
    if flat.dtype.kind == "b" or flat.dtype == "float16":
        flat = flat.astype("float32")
    missing = 0
    if flat.dtype.kind == "f":
        is_finite = numpy.isfinite(flat)
        missing = int(flat.size - numpy.count_nonzero(is_finite))
        flat = flat[is_finite] if missing else flat
    low, high = (float(flat.min()), float(flat.max())) if flat.size else (0.0, 1.0)
    edges = _edges(low, high, bins)
    try:
        if not math.isfinite(edges[-1] - edges[0]):
            raise ValueError("numpy wants the width of the range")
        counts, _ = numpy.histogram(flat, bins, range=(edges[0], edges[-1]))
    except ValueError:  # the range is too wide, or too narrow for so many bins: slower, by search
        counts, _ = numpy.histogram(flat, numpy.array(edges))
    return edges, counts.tolist(), missing


def checked_bins(
    tag: str, edges: Iterable[Any], counts: Iterable[Any]
) -> tuple[list[float], list[int]]:
    """Edges and counts that the caller has.

    Raises:
        TypeError, ValueError: naming the tag and the rule.
    """
    what = f"histogram {tag!r}"
    try:
        plain_edges = [float(edge) for edge in edges]
        plain_counts = [int(count) for count in counts]
    except (TypeError, ValueError, OverflowError) as exc:
        raise TypeError(f"{what}: edges and counts must be numbers: {exc}") from exc
    if len(plain_edges) != len(plain_counts) + 1:
        raise ValueError(
            f"{what}: edges must be one more than counts, "
            f"got {len(plain_edges)} and {len(plain_counts)}"
        )
    if not all(map(math.isfinite, plain_edges)) or plain_edges != sorted(plain_edges):
        raise ValueError(f"{what}: edges must be finite, and in ascending order")
    if not all(0 <= count < 2**63 for count in plain_counts):
        raise ValueError(f"{what}: counts must not be negative, and below 2**63")
    return plain_edges, plain_counts
