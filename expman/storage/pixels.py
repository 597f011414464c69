"""PNG of raw pixels, and animated PNG of several pictures; Arrow does the arithmetic.

Format: https://www.w3.org/TR/png-3/.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence

import pyarrow as pa

__all__ = ["Pixels", "encode_pixels"]

Pixels = tuple[str, tuple[int, ...], bool, float]
"""Code of a value as memoryview has it, shape, whether channels come first, frames per second."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOR_TYPES = {1: 0, 3: 2, 4: 6}
_LEVEL = 4
_FLOATS = {"f": pa.float32(), "d": pa.float64()}
_TRUTH = bytes([0]) + bytes([255]) * 255


def encode_pixels(data: bytes, pixels: Pixels) -> bytes:
    """Encodes a picture of shape (height, width[, channels]), or frames of that, as a PNG.

    Floats are within 0 and 1, and True is white.

    Raises:
        ValueError: the data does not have that shape.
    """
    code, shape, channels_first, rate = pixels
    frames = shape[0] if rate else 1
    height, width, channels = _sizes(shape[1:] if rate else shape, channels_first)
    size = height * width * channels
    if channels not in _COLOR_TYPES or not size or not frames:
        raise ValueError(f"no picture has the shape {shape}")
    data = _to_bytes(data, code)
    if len(data) != size * frames:
        raise ValueError(f"{len(data)} values do not make the shape {shape}")
    parts = [data[size * n : size * (n + 1)] for n in range(frames)]
    if channels_first and channels > 1:
        parts = [_interleaved(part, channels) for part in parts]
    packed = [_packed(part, width * channels) for part in parts]
    head = struct.pack(">IIBBBBB", width, height, 8, _COLOR_TYPES[channels], 0, 0, 0)
    body = _animation(packed, width, height, rate) if rate else [_chunk(b"IDAT", packed[0])]
    return b"".join((_SIGNATURE, _chunk(b"IHDR", head), *body, _chunk(b"IEND", b"")))


def _sizes(shape: Sequence[int], channels_first: bool) -> tuple[int, int, int]:
    if len(shape) == 2:
        return shape[0], shape[1], 1
    if len(shape) != 3:
        raise ValueError(f"no picture has the shape {tuple(shape)}")
    channels, height, width = shape if channels_first else (shape[2], shape[0], shape[1])
    return height, width, channels


def _to_bytes(data: bytes, code: str) -> bytes:
    if code == "B":
        return data
    if code == "?":
        return data.translate(_TRUTH)
    dtype = _FLOATS.get(code)
    if dtype is None or len(data) % (dtype.bit_width // 8):
        raise ValueError(f"values of type {code!r} are not those of a picture")
    import pyarrow.compute as pc  # slow to import, and most runs have no pictures

    count = len(data) // (dtype.bit_width // 8)
    values = pa.Array.from_buffers(dtype, count, [None, pa.py_buffer(data)])
    scaled = pc.round(pc.multiply(values, pa.scalar(255, dtype)))
    return _raw(pc.cast(scaled, pa.uint8()))


def _raw(values: pa.Array) -> bytes:
    return bytes(values.buffers()[1])[values.offset : values.offset + len(values)]


def _interleaved(planes: bytes, channels: int) -> bytes:
    out, size = bytearray(len(planes)), len(planes) // channels
    for channel in range(channels):
        out[channel::channels] = planes[size * channel : size * (channel + 1)]
    return bytes(out)


def _packed(data: bytes, stride: int) -> bytes:
    """Rows as differences to the row above, each behind its filter byte, compressed."""
    values = pa.Array.from_buffers(pa.uint8(), len(data), [None, pa.py_buffer(data)])
    differences = data[:stride]
    if len(data) > stride:
        import pyarrow.compute as pc

        differences += _raw(pc.subtract(values[stride:], values[:-stride]))  # modulo 256
    rows = (differences[start : start + stride] for start in range(0, len(data), stride))
    return zlib.compress(b"".join(b"\2" + row for row in rows), _LEVEL)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _animation(packed: list[bytes], width: int, height: int, rate: float) -> Iterator[bytes]:
    yield _chunk(b"acTL", struct.pack(">II", len(packed), 0))
    delay = max(1, min(65_535, round(1000 / rate)))
    number = 0
    for frame, data in enumerate(packed):
        control = struct.pack(">IIIIIHHBB", number, width, height, 0, 0, delay, 1000, 0, 0)
        yield _chunk(b"fcTL", control)
        number += 1
        if frame == 0:
            yield _chunk(b"IDAT", data)
        else:
            yield _chunk(b"fdAT", struct.pack(">I", number) + data)
            number += 1
