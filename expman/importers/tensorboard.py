"""TensorBoard's event files: a run for each directory that has some.

Field numbers are those of TensorFlow's event.proto, summary.proto and tensor.proto, and of the
plugins' own messages. Both ways of writing are read: a field for each kind of value (v1), and a
tensor with the name of its plugin (v2).
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections import Counter
from collections.abc import Iterator

from expman.formats.damage import DamagedError
from expman.formats.protobuf import Message, decode
from expman.formats.tfrecord import DAMAGED, read_tfrecords
from expman.importers.imported_run import ImportedRun, modified_times
from expman.importers.source import Advance, Source, state_of
from expman.importers.tensorboard_values import SummaryValues
from expman.importers.walking import walk
from expman.models import RunStatus, safe_text
from expman.storage.paths import open_regular

__all__ = ["find"]

_TRACKER = "tensorboard"
_ABOUT = "imported from TensorBoard event files in "
_SESSION_FAILED = 2
_SCALAR = re.compile(
    rb"\x09(.{8})(?:\x10([\x80-\xff]{0,8}[\x00-\x7f]))?"  # time, step
    rb"\x2a([\x00-\x7f])\x0a([\x00-\x7f])"  # lengths of the summary and its value
    rb"\x0a([\x00-\x7f])(.*)\x15(.{4})",  # tag, number
    re.DOTALL,
)
_DOUBLE, _FLOAT = struct.Struct("<d"), struct.Struct("<f")
_NOT_VALUES = {4: "graph", 6: "log message", 8: "run metadata", 9: "graph"}
"""Fields of an event that have no place in a run; its session log and version say nothing."""


def find(path: str, left_out: Counter[str]) -> list[Source]:
    """The runs below a directory, or of one event file."""
    if os.path.isfile(path):
        return [_source(path, [path], path)] if "tfevents" in os.path.basename(path) else []
    return [_source(folder, files, path) for folder, files in _directories(path, left_out)]


def _directories(path: str, left_out: Counter[str]) -> Iterator[tuple[str, list[str]]]:
    for folder, _, names in walk(path, left_out):
        files = [os.path.join(folder, name) for name in names if "tfevents" in name]
        if files:
            yield folder, files


def _source(where: str, files: list[str], path: str) -> Source:
    name = os.path.basename(where) if where == path else os.path.relpath(where, path)
    if name in ("", "."):
        name = os.path.basename(os.path.abspath(path))
    place = os.path.abspath(where)

    def read(run: ImportedRun, advance: Advance) -> None:
        _read(files, run, advance)

    return Source(
        tracker=_TRACKER,
        path=where,
        identity=place,
        name=name,
        read=read,
        size=sum(os.path.getsize(file) for file in files),
        state=state_of(files),
        times=modified_times(files),
        about=_ABOUT + safe_text(place),
    )


def _read(files: list[str], run: ImportedRun, advance: Advance) -> None:
    values = SummaryValues(run)
    for path in files:
        with os.fdopen(open_regular(path, follow=True), "rb") as file:
            for payload in read_tfrecords(file, run.report.left_out):
                try:
                    if not _take_scalar(payload, values):
                        _take(decode(payload), run, values)
                except DamagedError:
                    run.report.leave_out(DAMAGED)
                advance(len(payload) + 16)


def _take_scalar(payload: bytes, values: SummaryValues) -> bool:
    """Takes an event with one short scalar, at a third of the cost; False for any other."""
    match = _SCALAR.fullmatch(payload)
    if match is None:
        return False
    moment, step, outer, inner, length, tag, number = match.groups()
    lengths = (outer[0], inner[0], length[0])
    if lengths != (len(tag) + 9, len(tag) + 7, len(tag)):
        return False
    at = 0
    for shift, byte in enumerate(step or b""):
        at |= (byte & 0x7F) << 7 * shift
    time_ns = _nanoseconds(_DOUBLE.unpack(moment)[0])
    value = float(_FLOAT.unpack(number)[0])
    return values.take_scalar(at, time_ns, tag.decode("utf-8", "replace"), value)


def _nanoseconds(seconds: float) -> int:
    moment = seconds * 1e9
    return int(moment) if math.isfinite(moment) and 0 <= moment < 2**63 else 0


def _take(event: Message, run: ImportedRun, values: SummaryValues) -> None:
    for number, kind in _NOT_VALUES.items():
        if number in event:
            run.report.leave_out(kind)
    if 5 not in event:
        return
    step, time_ns = event.signed(2), _nanoseconds(event.double(1))
    for summary in event.messages(5):
        for value in summary.messages(1):
            values.take(step, time_ns, value)
    if values.session_status == _SESSION_FAILED:
        run.facts.status = RunStatus.FAILED
        run.facts.reason = "its hyperparameters' session says that it failed"
