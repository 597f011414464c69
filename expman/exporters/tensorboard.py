"""TensorBoard's event files: the tags are exactly the names of the metrics.

TensorBoard's own writers change names (`loss[a]` becomes `loss_a_`), and need packages; this does
not. Field numbers are those of TensorFlow's event.proto, summary.proto and tensor.proto.
"""

from __future__ import annotations

import datetime
import math
import os
import struct
from collections.abc import Iterator, Sequence

from expman.exporters.exported import Exported, flat_params, whole_file
from expman.formats.protobuf import bytes_field, double_field, int_field, packed_doubles
from expman.formats.tfrecord import tfrecord
from expman.models import MetricValue, RunStatus
from expman.reading.media import HistogramRow, MediaItem
from expman.reading.rows import python_rows
from expman.reading.run import Run
from expman.storage.paths import read_regular, write_all

__all__ = ["export_events"]

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_FIXED = ("step", "timestamp")
_STRING = 7
_LARGEST = 3.4028235677973366e38
_WAV = "audio/wav"
_BLOCK_BYTES = 1 << 20
_ENDED = {RunStatus.FINISHED: 1, RunStatus.FAILED: 2, RunStatus.CRASHED: 2}


def export_events(run: Run, directory: str, columns: Sequence[str] = ()) -> Exported:
    """Writes one event file into a directory, which is made.

    An export that is made again replaces the file. Numbers are kept in 32 bits, as TensorBoard has
    them.

    Args:
        run: the run.
        directory: where the file goes.
        columns: only these metrics, and nothing else of the run.

    Raises:
        UnknownColumnsError: the run has no such metric.
        StorageError: the run cannot be read.
        OSError: the file cannot be written.
    """
    exported = Exported(directory)
    os.makedirs(directory, exist_ok=True)
    began = run.started_at or _EPOCH
    name = f"events.out.tfevents.{int(began.timestamp()):010d}.expman"
    names = [name for name in columns or run.metrics if name not in _FIXED]
    table = run.vectors([*_FIXED, *names])
    with whole_file(os.path.join(directory, name)) as fd:
        waiting = bytearray(tfrecord(double_field(1, _seconds(began)) + _VERSION))
        for record in _events(run, names, columns, python_rows(table), exported):
            waiting += tfrecord(record)
            if len(waiting) > _BLOCK_BYTES:
                write_all(fd, bytes(waiting))
                waiting.clear()
        write_all(fd, bytes(waiting))
    return exported


_VERSION = bytes_field(3, "brain.Event:2")


def _events(
    run: Run,
    names: list[str],
    columns: Sequence[str],
    rows: Iterator[dict[str, MetricValue | datetime.datetime | None]],
    exported: Exported,
) -> Iterator[bytes]:
    if not columns:
        yield from _params(run)
    last = -1
    for number, row in enumerate(rows):
        step, moment = row["step"], row["timestamp"]
        at = step if isinstance(step, int) else number
        last = max(last, at)
        values = b"".join(_metric(name, row[name]) for name in names if row[name] is not None)
        if values:
            yield _event(at, moment, values)
    if columns:
        return
    for item in run.media():
        value = _medium(item)
        if value is None:
            exported.left_out[item.kind] += 1
        else:
            yield _event(item.step or 0, item.logged_at, value)
    for histogram in run.histograms():
        yield _event(histogram.step or 0, histogram.logged_at, _histogram(histogram))
    plain = {key: one for key, one in run.scalars.items() if not isinstance(one, str)}
    exported.left_out["scalars that are texts"] += len(run.scalars) - len(plain)
    for name, scalar in plain.items():
        if name not in names:
            yield _event(max(last, 0), run.finished_at, _metric(name, scalar))
    exported.left_out = +exported.left_out  # without zeros


def _event(step: int, moment: object, values: bytes) -> bytes:
    seconds = _seconds(moment) if isinstance(moment, datetime.datetime) else 0.0
    return double_field(1, seconds) + int_field(2, step) + bytes_field(5, values)


def _seconds(moment: datetime.datetime) -> float:
    return (moment - _EPOCH).total_seconds()


# -- values: fields of Summary, each with one Summary.Value ---------------------------------------


def _metric(tag: str, value: object) -> bytes:
    if not isinstance(value, str):
        number = struct.pack("<f", _float32(float(value)))  # type: ignore[arg-type]
        return bytes_field(1, bytes_field(1, tag) + b"\x15" + number)  # field 2, 32 bits
    shape = bytes_field(2, bytes_field(2, int_field(1, 1)))
    tensor = int_field(1, _STRING) + shape + bytes_field(8, value)
    return bytes_field(1, bytes_field(1, tag) + _plugin("text") + bytes_field(8, tensor))


def _plugin(name: str, content: bytes = b"") -> bytes:
    """The metadata that name a value's plugin."""
    data = bytes_field(1, name) + (bytes_field(2, content) if content else b"")
    return bytes_field(9, bytes_field(1, data))


def _float32(value: float) -> float:
    """The value as 32 bits hold it: what is too large is infinite."""
    return value if not abs(value) >= _LARGEST else math.copysign(math.inf, value)


def _medium(item: MediaItem) -> bytes | None:
    """A picture or a sound; None for what has no field."""
    try:
        data = read_regular(item.path, follow=True)
    except OSError:
        return None
    if item.kind == "image":
        width, height = _png_size(data)
        image = int_field(1, height) + int_field(2, width) + int_field(3, 3)
        image += bytes_field(4, data)
        return bytes_field(1, bytes_field(1, item.tag) + bytes_field(4, image))
    if item.kind == "audio" and item.file.endswith(".wav"):
        sound = bytes_field(4, data) + bytes_field(5, _WAV)
        return bytes_field(1, bytes_field(1, item.tag) + bytes_field(6, sound))
    return None


def _png_size(data: bytes) -> tuple[int, int]:
    """Width and height of a PNG; 1 and 1 of any other picture, for TensorBoard looks itself."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return int(width), int(height)
    return 1, 1


def _histogram(row: HistogramRow) -> bytes:
    """The older form: TensorBoard shows both."""
    middles = [(one + two) / 2 for one, two in zip(row.edges, row.edges[1:], strict=False)]
    total = math.fsum(row.counts)
    first = math.fsum(m * c for m, c in zip(middles, row.counts, strict=False))
    second = math.fsum(m * m * c for m, c in zip(middles, row.counts, strict=False))
    low, high = (row.edges[0], row.edges[-1]) if row.edges else (0.0, 0.0)
    facts = (low, high, total, first, second)
    histogram = b"".join(double_field(number + 1, value) for number, value in enumerate(facts))
    histogram += packed_doubles(6, row.edges[1:]) + packed_doubles(7, row.counts)
    return bytes_field(1, bytes_field(1, row.tag) + bytes_field(5, histogram))


# -- hyperparameters ------------------------------------------------------------------------------


def _params(run: Run) -> Iterator[bytes]:
    """The run's parameters, as the plugin of hyperparameters has them."""
    params = flat_params(run.config)
    if not params:
        return
    began = run.started_at
    entries = b"".join(
        bytes_field(1, bytes_field(1, name) + bytes_field(2, _value(value)))
        for name, value in params.items()
    )
    start = entries + double_field(5, _seconds(began or _EPOCH))
    yield _event(0, began, _session("_hparams_/session_start_info", bytes_field(3, start)))
    if run.status in _ENDED:
        end = int_field(1, _ENDED[run.status])
        end += double_field(2, _seconds(run.finished_at or _EPOCH))
        tag = "_hparams_/session_end_info"
        yield _event(0, run.finished_at, _session(tag, bytes_field(4, end)))


def _session(tag: str, data: bytes) -> bytes:
    return bytes_field(1, bytes_field(1, tag) + _plugin("hparams", int_field(1, 0) + data))


def _value(value: object) -> bytes:
    """A google.protobuf.Value; TensorBoard shows numbers, bools and texts."""
    match value:
        case bool():
            return int_field(4, value)
        case int() | float():
            return double_field(2, _double(value))
    return bytes_field(3, str(value))


def _double(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
