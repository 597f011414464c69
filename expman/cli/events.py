"""Reader of TensorBoard event files: takes complete records and counts the rest.

A TFRecord file is a sequence of length, checksum of the length, payload, checksum of the payload
(TensorFlow, "record_writer.h"); the checksums are masked CRC-32C.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import click

from expman.models import MetricValue, safe_text
from expman.storage.columns import FIXED
from expman.storage.paths import open_regular

__all__ = ["Events", "Point", "read_events"]

_HEAD = struct.Struct("<QI")
_CODES = {1: "f", 2: "d", 3: "i", 4: "B", 5: "h", 6: "b", 9: "q", 10: "?", 17: "H", 22: "I"}
_CODES |= {23: "Q"}
_NUMBERS = ("float_val", "double_val", "int_val", "int64_val", "bool_val")
_DAMAGED = "damaged records"


class Point(NamedTuple):
    """One value of an event file."""

    step: int
    time_ns: int
    tag: str
    value: MetricValue


@dataclass
class Events:
    """The content of event files.

    Attributes:
        points: their scalars and texts.
        params: their hyperparameters.
        left_out: number of values by kind that have no place in a run or are damaged.
    """

    points: list[Point] = field(default_factory=list)
    params: dict[str, object] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    _plugins: dict[str, str] = field(default_factory=dict)

    def take(self, event: Any) -> None:
        """Adds the content of an event."""
        for value in event.summary.value:
            # Only the first value of a tag has to name its plugin.
            plugin = value.metadata.plugin_data.plugin_name or self._plugins.get(value.tag, "")
            self._plugins[value.tag] = plugin
            if plugin == "hparams":
                self.params |= _hparams(value.metadata.plugin_data.content)
                continue
            kind = value.WhichOneof("value") or "nothing"
            found = _value(value, kind, plugin)
            if found is None:
                self.left_out[plugin or kind] += 1
                continue
            tag = f"{value.tag}_" if value.tag in FIXED else value.tag
            self.points.append(Point(event.step, _nanoseconds(event), tag or "value", found))


def read_events(paths: Sequence[str]) -> Events:
    """Reads event files.

    Raises:
        click.ClickException: tensorboardX is missing.
        OSError: a file cannot be read.
    """
    try:
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
        from tensorboardX.proto.event_pb2 import Event
    except ModuleNotFoundError:
        message = "event files need tensorboardX; run: pip install 'expman-sidecar[tensorboard]'"
        raise click.ClickException(message) from None
    events = Events()
    for path in paths:
        for payload in _records(path, events.left_out):
            try:
                event = Event.FromString(payload)
            except DecodeError:
                events.left_out[_DAMAGED] += 1
            else:
                events.take(event)
    return events


def _records(path: str, left_out: Counter[str]) -> Iterator[bytes]:
    with os.fdopen(open_regular(path, follow=True), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        while head := file.read(_HEAD.size):
            begin = file.tell() - len(head)
            if len(head) < _HEAD.size:
                left_out["bytes of a record that is cut off"] += len(head)
                return
            length, check = _HEAD.unpack(head)
            if _masked_crc(head[:8]) != check:
                # It is not known where the next record begins.
                left_out["bytes behind a damaged length"] += size - begin
                return
            if file.tell() + length + 4 > size:
                left_out["bytes of a record that is cut off"] += size - begin
                return
            payload, (check,) = file.read(length), struct.unpack("<I", file.read(4))
            if _masked_crc(payload) == check:
                yield payload
            else:
                left_out[_DAMAGED] += 1


def _masked_crc(data: bytes) -> int:
    crc, table = 0xFFFFFFFF, _crc_table()
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@cache
def _crc_table() -> list[int]:
    table = []
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ (0x82F63B78 if number & 1 else 0)
        table.append(number)
    return table


def _nanoseconds(event: Any) -> int:
    moment = event.wall_time * 1e9
    return int(moment) if math.isfinite(moment) and 0 <= moment < 2**63 else 0


def _value(value: Any, kind: str, plugin: str) -> MetricValue | None:
    if kind == "simple_value":
        return float(value.simple_value)
    if kind != "tensor":
        return None
    tensor = value.tensor
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    if tensor.string_val:
        return _text(list(tensor.string_val), shape) if plugin == "text" else None
    return _number(tensor) if math.prod(shape) == 1 else None


def _text(values: list[bytes], shape: list[int]) -> str:
    """Returns one text as it is; several as JSON, nested as in the tensor."""
    texts: list[object] = [value.decode(errors="replace") for value in values]
    if len(texts) == 1:
        return str(texts[0])
    for size in reversed(shape[1:]):
        if size > 0:
            texts = [texts[start : start + size] for start in range(0, len(texts), size)]
    return json.dumps(texts, ensure_ascii=False)


def _number(tensor: Any) -> MetricValue | None:
    for name in _NUMBERS:
        if numbers := getattr(tensor, name):
            found: MetricValue = numbers[0]
            return found
    code = _CODES.get(tensor.dtype)
    if code is None or struct.calcsize(f"<{code}") != len(tensor.tensor_content):
        return None
    (unpacked,) = struct.unpack(f"<{code}", tensor.tensor_content)
    return unpacked if isinstance(unpacked, float | int) else None


def _hparams(content: bytes) -> dict[str, object]:
    """Returns the hyperparameters of a session, which only its start event has."""
    from google.protobuf.message import DecodeError
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

    try:
        hparams = HParamsPluginData.FromString(content).session_start_info.hparams
    except DecodeError:
        return {}
    return {safe_text(key): _param(hparams[key]) for key in sorted(hparams)}


def _param(value: Any) -> object:
    match value.WhichOneof("kind"):
        case "number_value" | "string_value" | "bool_value" as kind:
            return getattr(value, kind)
        case "list_value":
            return [_param(item) for item in value.list_value.values]
        case "struct_value":
            return {key: _param(item) for key, item in value.struct_value.fields.items()}
    return None
