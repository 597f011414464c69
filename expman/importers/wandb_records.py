"""Records of a `.wandb` file: what each becomes in a run."""

from __future__ import annotations

import os
from collections.abc import Mapping

from expman.formats.protobuf import Message
from expman.importers.imported_run import ImportedRun, flat_scalars
from expman.importers.json_values import flat, json_value
from expman.importers.wandb_console import PrintedPieces
from expman.importers.wandb_media import MediaValues
from expman.importers.wandb_provenance import provenance_of, read_metadata
from expman.models import LogLevel, MetricValue, RunStatus, safe_text

__all__ = ["Records"]

# Fields of Record.
_HISTORY, _SUMMARY, _OUTPUT, _CONFIG, _STATS, _ARTIFACT = 2, 3, 4, 5, 7, 8
_TENSORBOARD, _ALERT, _METRIC, _OUTPUT_RAW = 9, 10, 12, 13
_RUN, _EXIT, _PREEMPTING, _ENVIRONMENT = 17, 18, 23, 26
_LEFT_OUT = {
    _TENSORBOARD: "links to event files",
    _METRIC: "definitions of metrics",
    25: "uses of artifacts",
}
_SAMPLES = {
    "cpu": "proc.cpu_pct",
    "proc.cpu.threads": "proc.threads",
    "memory_percent": "mem.util_pct",
    "system.loadAverage": "cpu.load_1min",
}
"""wandb's names of samples, and ours for the same in the same unit."""
_MOST_KEYS = 30
_LEVELS = {"WARN": LogLevel.WARN, "ERROR": LogLevel.ERROR}


class Records:
    """Takes the records of one file into a run.

    Args:
        run: the run.
        folder: the file's directory; its `files/` has media and saved files.
    """

    def __init__(self, run: ImportedRun, folder: str) -> None:
        self._run = run
        self._console = PrintedPieces(run)
        self._files = os.path.join(folder, "files")
        self._media = MediaValues(run, self._files)
        self._config: dict[str, object] = {}
        self._summary: dict[str, object] = {}
        self._latest: dict[str, MetricValue] = {}
        self._last_ns = 0
        run.facts.status = RunStatus.CRASHED
        run.facts.reason = "the .wandb file has no record of the run's end"

    def take(self, record: Message) -> None:
        """Takes one record, or counts it.

        Raises:
            DamagedError: its bytes are not what they should be.
        """
        for number, values in record.items():
            if not isinstance(values[-1], bytes):
                continue
            match number:
                case 2:
                    self._take_history(record.message(_HISTORY))
                case 3:
                    _update(self._summary, record.message(_SUMMARY))
                case 4 | 13:
                    self._take_output(record.message(number))
                case 5:
                    _update(self._config, record.message(_CONFIG))
                case 7:
                    self._take_stats(record.message(_STATS))
                case 8:
                    self._media.take_artifact(record.message(_ARTIFACT))
                case 10:
                    self._take_alert(record.message(_ALERT))
                case 17:
                    self._take_run(record.message(_RUN))
                case 18:
                    self._take_exit(record.message(_EXIT))
                case 23:
                    self._run.facts.reason = "wandb noted that the run is preempted"
                case 26:
                    self._take_environment(record.message(_ENVIRONMENT))
                case 9 | 12 | 25:
                    self._run.report.leave_out(_LEFT_OUT[number])

    def finish(self) -> None:
        """Takes what is known only at the end of the file."""
        facts = self._run.facts
        if not self._run.provenance:
            self._run.provenance |= read_metadata(self._files)
        self._console.finish(self._last_ns)
        has_console = self._console.has_lines
        self._media.finish(skip=("output.log",) if has_console else ())
        config = {key: value for key, value in self._config.items() if key != "_wandb"}
        facts.params |= config
        plain = _plain(self._summary)
        for key, value in flat_scalars(plain).items():
            if not key.startswith("_") and not _same(self._latest.get(key), value):
                facts.scalars[key] = value
        if self._last_ns:
            facts.finished_ns = max(facts.finished_ns or 0, self._last_ns)

    # -- the run ------------------------------------------------------------------------

    def _take_run(self, record: Message) -> None:
        facts = self._run.facts
        _update(self._config, record.message(4))
        _update(self._summary, record.message(5))
        facts.group = record.text(6) or facts.group
        facts.description = record.text(9) or facts.description
        facts.tags = list(dict.fromkeys([*facts.tags, *record.texts(10)]))
        began = _time_ns(record.message(17))
        if began:
            facts.started_ns = min(facts.started_ns or began, began)
            self._note_time(began)
        job = record.text(7)
        if job:
            facts.params.setdefault("job_type", safe_text(job))

    def _take_exit(self, record: Message) -> None:
        facts, code = self._run.facts, record.signed(1)
        facts.status = RunStatus.FAILED if code else RunStatus.FINISHED
        facts.reason = f"exit code {code}" if code else None

    def _take_environment(self, record: Message) -> None:
        git = record.message(9)
        self._run.provenance |= provenance_of(
            {
                "git": {"remote": git.text(1), "commit": git.text(2)},
                "program": record.text(6),
                "args": record.texts(5),
                "host": record.text(12),
                "root": record.text(11),
                "executable": record.text(14),
                "python": record.text(2),
            }
        )

    def _take_alert(self, record: Message) -> None:
        level = _LEVELS.get(record.text(3), LogLevel.INFO)
        self._run.note(level, self._last_ns, f"{record.text(1)}: {record.text(2)}")

    # -- what it logs -------------------------------------------------------------------

    def _take_history(self, record: Message) -> None:
        values: dict[str, object] = {}
        _update(values, record)
        step = values.pop("_step", None)
        if not isinstance(step, int):
            step = record.message(2).signed(1) if 2 in record else None
        moment = values.pop("_timestamp", None)
        is_time = isinstance(moment, float | int) and 0 < moment < 2**33
        time_ns = int(float(str(moment)) * 1e9) if is_time else self._last_ns
        self._note_time(time_ns)
        row: dict[str, MetricValue] = {}
        for name, value in flat(values, ""):
            if name in ("_runtime", "_wandb/runtime"):
                continue
            if isinstance(value, float | int | str):
                row[name] = value
            elif not self._media.take(step, time_ns, name, value):
                kind = value.get("_type") if isinstance(value, Mapping) else None
                named = safe_text(kind) if isinstance(kind, str) else type(value).__name__
                self._run.report.leave_out(f"{named} in history")
        self._run.rows.add(step, time_ns, row)
        self._latest |= row

    def _take_output(self, record: Message) -> None:
        time_ns = _time_ns(record.message(2)) or self._last_ns
        self._note_time(time_ns)
        self._console.take("out" if record.uint(1) else "err", time_ns, record.text(3))

    def _take_stats(self, record: Message) -> None:
        time_ns = _time_ns(record.message(2))
        self._note_time(time_ns)
        sample = {}
        for item in record.messages(3):
            value = json_value(item.text(16))
            if isinstance(value, float | int):
                key = safe_text(item.text(1))
                sample[_SAMPLES.get(key, f"wandb.{key}")] = float(value)
        self._run.tables.add_sample(time_ns, sample)

    def _note_time(self, time_ns: int) -> None:
        self._last_ns = max(self._last_ns, time_ns)


# -- values ---------------------------------------------------------------------------------------


def _update(values: dict[str, object], record: Message) -> None:
    """Applies updates and removals of config, summary or history: items with a key, or nested."""
    for item in record.messages(1):
        keys = item.texts(2) or [item.text(1)]
        keys[_MOST_KEYS:] = ["/".join(keys[_MOST_KEYS:])] if len(keys) > _MOST_KEYS else []
        inner = values
        for key in keys[:-1]:
            found = inner.get(key)
            if not isinstance(found, dict):
                found = inner[key] = {}
            inner = found
        inner[keys[-1]] = _value(item)
    if 2 in record and isinstance(record[2][-1], bytes):
        for item in record.messages(2):
            for key in item.texts(2) or [item.text(1)]:
                values.pop(key, None)


def _value(item: Message) -> object:
    """JSON, or since 2026 a field for each kind."""
    if 16 in item or 8 in item:
        return json_value(item.text(16 if 16 in item else 8))
    if 4 in item:
        return bool(item.uint(4))
    if 5 in item:
        number = item.uint(5)
        return number >> 1 ^ -(number & 1)
    if 6 in item:
        return item.double(6)
    return item.text(7) if 7 in item else None


def _plain(values: Mapping[str, object]) -> dict[str, object]:
    """The mapping without values of wandb's own types."""
    return {
        key: _plain(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if not (isinstance(value, Mapping) and "_type" in value)
    }


def _same(one: MetricValue | None, other: MetricValue) -> bool:
    return one == other or (one != one and other != other)


def _time_ns(stamp: Message) -> int:
    """A google.protobuf.Timestamp; 0 if it is absent or beyond all clocks."""
    seconds = stamp.signed(1)
    return seconds * 10**9 + stamp.signed(2) % 10**9 if 0 < seconds < 2**33 else 0
