"""CSV and JSONL: a run for each file, a row for each line.

The names of some columns say what they are. Every other column is a metric.
"""

from __future__ import annotations

import csv
import json
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TextIO

from expman.errors import StorageError
from expman.formats.damage import DamagedError
from expman.importers.imported_run import ImportedRun, modified_times
from expman.importers.json_values import is_shallow
from expman.importers.source import Advance, Source, state_of
from expman.importers.walking import walk
from expman.models import MetricValue
from expman.storage.paths import open_regular
from expman.storage.yamlfile import read_yaml

__all__ = ["find_csv", "find_jsonl", "read_time"]

_STEPS = ("step", "_step", "global_step", "iteration", "epoch")
_TIMES = ("timestamp", "_timestamp", "wall_time", "walltime", "time", "created_at", "datetime")
_OURS = ("_producer", "_seq")
"""Columns of `expman export` that number the rows of the source."""
_CSV, _JSONL = (".csv", ".tsv"), (".jsonl", ".ndjson")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_WORDS = {"nan": math.nan, "inf": math.inf, "+inf": math.inf, "-inf": -math.inf}
_WORDS |= {"infinity": math.inf, "-infinity": -math.inf}
_BOOLS = {"true": True, "false": False}
_MOST_CELL = 64 << 20
_HPARAMS = "hparams.yaml"
_DAMAGED = "damaged lines"
_LARGEST_S = 2.0**33


def find_csv(path: str, left_out: Counter[str]) -> list[Source]:
    """The CSV files at or below a path."""
    return [_source("csv", one, path, _read_csv) for one in _files(path, _CSV, left_out)]


def find_jsonl(path: str, left_out: Counter[str]) -> list[Source]:
    """The files with a JSON object per line at or below a path."""
    return [_source("jsonl", one, path, _read_jsonl) for one in _files(path, _JSONL, left_out)]


def _files(path: str, endings: tuple[str, ...], left_out: Counter[str]) -> Iterator[str]:
    if os.path.isfile(path):
        yield from [path] if path.lower().endswith(endings) else []
        return
    for folder, _, names in walk(path, left_out):
        found = [name for name in names if name.lower().endswith(endings)]
        yield from (os.path.join(folder, name) for name in found)


def _source(
    tracker: str, file: str, path: str, read: Callable[[str, ImportedRun, Advance], None]
) -> Source:
    name = os.path.basename(file) if file == path else os.path.relpath(file, path)
    name = os.path.splitext(name)[0]
    if os.path.basename(name) == "metrics":  # of Lightning's CSVLogger: the folder has the name
        name = os.path.dirname(name) or os.path.basename(os.path.dirname(os.path.abspath(file)))
    hparams = os.path.join(os.path.dirname(file), _HPARAMS)

    def read_all(run: ImportedRun, advance: Advance) -> None:
        read(file, run, advance)
        if os.path.isfile(hparams):
            _read_hparams(hparams, run)

    return Source(
        tracker=tracker,
        path=file,
        identity=os.path.abspath(file),
        name=name,
        read=read_all,
        size=os.path.getsize(file),
        state=state_of([file, hparams]),
        times=modified_times([file]),
        about=f"imported from {os.path.abspath(file)}",
    )


# -- lines ----------------------------------------------------------------------------------------


def _read_csv(path: str, run: ImportedRun, advance: Advance) -> None:
    """The first line has the names; an empty cell was not logged."""
    separator = "\t" if path.lower().endswith(".tsv") else ","
    csv.field_size_limit(_MOST_CELL)
    moment = os.stat(path).st_mtime_ns
    with _opened(path) as file:
        lines = csv.reader(_sized(file, advance, run), delimiter=separator)
        try:
            names = next(lines, [])
            twice = len(names) - len(set(names))
            if twice:
                run.report.leave_out("columns whose name another one has", twice)
            for cells in lines:
                if not cells:
                    continue
                if len(cells) != len(names):
                    run.report.leave_out(_DAMAGED)
                    continue
                values: dict[str, object] = {
                    name: _cell(cell) for name, cell in zip(names, cells, strict=True)
                }
                _take(run, values, moment)
        except csv.Error as exc:
            raise DamagedError(f"line {lines.line_num}: {exc}") from exc


def _read_jsonl(path: str, run: ImportedRun, advance: Advance) -> None:
    """A JSON object per line; nested ones are flattened with "/"."""
    moment = os.stat(path).st_mtime_ns
    with _opened(path) as file:
        for line in _sized(file, advance, run):
            if not line.strip():
                continue
            try:
                values = json.loads(line)
                if not isinstance(values, dict) or not is_shallow(values):
                    raise ValueError("not an object, or nested too deep")
            except (ValueError, RecursionError):
                run.report.leave_out(_DAMAGED)
                continue
            _take(run, dict(_flat(values, "")), moment)


def _read_hparams(path: str, run: ImportedRun) -> None:
    """The parameters that Lightning's CSVLogger leaves beside its rows."""
    try:
        run.facts.params |= read_yaml(path, dates=False, follow=True)
    except StorageError:
        run.report.leave_out(f"{_HPARAMS} that cannot be read")


def _opened(path: str) -> TextIO:
    fd = open_regular(path, follow=True)
    return os.fdopen(fd, encoding="utf-8-sig", errors="replace", newline="")


def _sized(file: Iterator[str], advance: Advance, run: ImportedRun) -> Iterator[str]:
    for line in file:
        advance(len(line))
        if "\0" in line:
            run.report.leave_out(_DAMAGED)
        else:
            yield line


def _flat(values: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", value


def _take(run: ImportedRun, values: dict[str, object], moment: int) -> None:
    """Takes a row; one without a time has that of the file."""
    step, time_ns = _pop_step(values), _pop_time(values) or moment
    row: dict[str, MetricValue] = {}
    for name, value in values.items():
        if isinstance(value, float | int | str):
            row[name] = _limited(value)
        elif value is not None:
            run.report.leave_out(f"{type(value).__name__} in a row")
    run.rows.add(step, time_ns, row)


def _limited(value: MetricValue) -> MetricValue:
    """Python's integers may have any number of digits; to show one of thousands is refused."""
    is_huge = isinstance(value, int) and value.bit_length() > 1000
    return (math.inf if value > 0 else -math.inf) if is_huge else value  # type: ignore[operator]


# -- cells ----------------------------------------------------------------------------------------


def _cell(text: str) -> MetricValue | None:
    """A number, a bool, or the text as it is; None if there is nothing."""
    if text == "":
        return None
    word = text.strip().lower()
    if _NUMBER.fullmatch(word):
        if len(word) < 19 and word.lstrip("+-").isdigit():
            return int(word)
        return float(word)
    if word in _WORDS:
        return _WORDS[word]
    return _BOOLS.get(word, text)


def _pop_step(values: dict[str, object]) -> int | None:
    """The step, by the first of the usual names that has whole numbers; it stays no metric."""
    for name in _OURS:
        values.pop(name, None)
    for name in _STEPS:
        value = values.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if math.isfinite(value) and value == int(value):
            if name != "epoch":  # it is worth a curve, too
                del values[name]
            return int(value)
    return None


def _pop_time(values: dict[str, object]) -> int:
    """The time in nanoseconds, by the first of the usual names that has one; 0 if none has."""
    for name in _TIMES:
        time_ns = read_time(values.get(name))
        if time_ns is not None:
            del values[name]
            return time_ns
    return 0


def read_time(value: object) -> int | None:
    """Nanoseconds since the epoch; None if the value is no time.

    Args:
        value: ISO 8601, UTC if it names no zone; or seconds, milliseconds, microseconds or
            nanoseconds since the epoch, whichever is between 2001 and 2242.
    """
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
        return (since.days * 86400 + since.seconds) * 10**9 + since.microseconds * 1000
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    for power in (0, 3, 6, 9):
        if 1e9 <= value / 10**power < _LARGEST_S:
            exact = value * 10 ** (9 - power)
            return int(exact)
    return None
