"""Values of a Neptune run: what each becomes here."""

from __future__ import annotations

import heapq
import os
from array import array
from collections.abc import Iterator
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

from expman.importers.files import files_below, inside
from expman.importers.imported_run import ImportedRun
from expman.models import RunStatus, safe_text
from expman.storage.times import iso

__all__ = ["NeptuneValues"]

_MS = 10**6
_MOST_MS = 2**63 // _MS - 1
_PLAIN = ("float", "int", "string", "bool", "datetime", "string_set")
_FILES = ("file", "file_series", "file_set")
_MONITORING = "monitoring/"
_STREAMS = {"stdout": "out", "stderr": "err"}
_IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp")
_Value: TypeAlias = float | str
_Point: TypeAlias = tuple[int, int | None, str, _Value]


class _Numbers(NamedTuple):
    """A series of floats, in compact form: a run may have millions of values."""

    times: array[int]
    steps: array[int]
    values: array[float]


class NeptuneValues:
    """Takes the rows of the exporter, which come by attribute, and makes rows of a run.

    Args:
        run: the run.
        trees: directories with downloaded files.
    """

    def __init__(self, run: ImportedRun, trees: list[str]) -> None:
        self._run = run
        self._trees = trees
        self._numbers: dict[str, _Numbers] = {}
        self._texts: dict[str, list[_Point]] = {}
        self._modified_ns: int | None = None

    def take(self, row: dict[str, Any]) -> None:
        """Takes one row."""
        name, kind = safe_text(str(row["attribute_path"] or "")), str(row["attribute_type"])
        step, time_ms = self._step(row["step"]), row["timestamp"]
        time_ms = time_ms if isinstance(time_ms, int) and 0 <= time_ms <= _MOST_MS else 0
        if kind in _PLAIN:
            self._take_plain(name, kind, row.get(f"{kind}_value"))
        elif kind == "float_series" and isinstance(row.get("float_value"), float):
            self._take_number(name, step, time_ms, row["float_value"])
        elif kind == "string_series" and isinstance(row.get("string_value"), str):
            point = (time_ms, step, name, row["string_value"])
            self._texts.setdefault(name, []).append(point)
        elif kind == "histogram_series" and isinstance(row.get("histogram_value"), dict):
            self._take_histogram(name, step, time_ms, row["histogram_value"])
        elif kind in _FILES and isinstance(row.get("file_value"), dict):
            self._take_file(name, kind, step, time_ms, str(row["file_value"].get("path") or ""))
        else:
            self._run.report.leave_out(f"values of type {safe_text(kind)}")

    def _step(self, value: object) -> int | None:
        """Neptune's steps are decimals; here they are whole numbers."""
        if not isinstance(value, Decimal):
            return None
        if value != int(value):
            self._run.report.leave_out("fractions of steps")
        return int(value // 1)

    # -- single values ------------------------------------------------------------------

    def _take_plain(self, name: str, kind: str, value: Any) -> None:
        if value is None:
            return
        facts = self._run.facts
        if name.startswith("sys/") and self._take_own(name.removeprefix("sys/"), value):
            return
        if kind == "datetime":
            value = iso(value * _MS) if 0 <= value <= _MOST_MS else str(value)
        elif isinstance(value, str):
            value = safe_text(value)
        elif isinstance(value, list):
            value = [safe_text(str(one)) for one in value]
        facts.params[name] = value

    def _take_own(self, name: str, value: Any) -> bool:
        """What Neptune itself says of a run."""
        facts = self._run.facts
        match name, value:
            case "creation_time", int() if 0 < value <= _MOST_MS:
                facts.started_ns = value * _MS
            case "modification_time", int() if 0 < value <= _MOST_MS:
                self._modified_ns = value * _MS
            case "description", str():
                facts.description = value or None
            case "name", str():
                facts.group = value or None
            case (("tags" | "group_tags"), list()):
                facts.tags = [*facts.tags, *map(str, value)]
            case "failed", bool():
                facts.status = RunStatus.FAILED if value else RunStatus.FINISHED
                facts.reason = "Neptune says that it failed" if value else None
            case "hostname", str():
                self._run.provenance["hostname"] = safe_text(value)
            case _:
                return False
        return True

    # -- series -------------------------------------------------------------------------

    def _take_number(self, name: str, step: int | None, time_ms: int, value: float) -> None:
        series = self._numbers.get(name)
        if series is None:
            series = self._numbers[name] = _Numbers(array("q"), array("q"), array("d"))
        series.times.append(time_ms)
        series.steps.append(-1 if step is None else step)
        series.values.append(value)

    def _take_histogram(
        self, name: str, step: int | None, time_ms: int, value: dict[str, Any]
    ) -> None:
        edges, counts = value.get("edges") or [], value.get("values") or []
        is_plain = all(isinstance(one, float) for one in [*edges, *counts])
        if not is_plain or not self._run.tables.add_histogram(
            step, time_ms * _MS, name, edges, counts
        ):
            self._run.report.leave_out("histograms without bins")

    def _take_file(
        self, name: str, kind: str, step: int | None, time_ms: int, relative: str
    ) -> None:
        candidates = (inside(tree, relative) for tree in self._trees) if relative else ()
        path = next((one for one in candidates if one and os.path.exists(one)), None)
        if path is None:
            self._run.report.leave_out("files that are not there")
        elif os.path.isdir(path):
            for inner, file in files_below(path):
                self._run.files.add_artifact(f"{name}/{inner}", file)
        elif kind == "file_series" and path.lower().endswith(_IMAGES):
            self._run.files.add_medium_file("image", step, time_ms * _MS, name, path)
        else:
            ending = os.path.splitext(path)[1]
            target = name if name.endswith(ending) else name + ending
            target = target if step is None else f"{name}/{step}{ending}"
            self._run.files.add_artifact(target, path)

    # -- the end ------------------------------------------------------------------------

    def finish(self) -> None:
        """Makes rows of the series: what was logged at one time and step shares a row."""
        run = self._run
        points = [self._points(name) for name in self._numbers if not _is_monitoring(name)]
        for name, texts in self._texts.items():
            stream = _STREAMS.get(name.rpartition("/")[2])
            if stream is None:
                points.append(iter(texts))
            else:
                for time_ms, _, _, text in texts:
                    lines = str(text).rstrip("\n").split("\n")
                    run.print_lines(stream, time_ms * _MS, lines)
        for time_ms, step, name, value in heapq.merge(*points, key=_order):
            run.rows.add_point(step, time_ms * _MS, name, value)
        samples = [self._points(name) for name in self._numbers if _is_monitoring(name)]
        for time_ms, found in groupby(heapq.merge(*samples, key=_order), key=itemgetter(0)):
            sample = {
                f"neptune.{name.removeprefix(_MONITORING)}": float(value)
                for _, _, name, value in found
            }
            run.tables.add_sample(time_ms * _MS, sample)
        if run.facts.started_ns and not run.rows.last_ns:
            run.facts.finished_ns = self._modified_ns

    def _points(self, name: str) -> Iterator[_Point]:
        series = self._numbers[name]
        for time_ms, step, value in zip(*series, strict=True):
            yield time_ms, None if step < 0 else step, name, value


def _is_monitoring(name: str) -> bool:
    return name.startswith(_MONITORING)


def _order(point: _Point) -> tuple[int, int]:
    return point[0], -1 if point[1] is None else point[1]
