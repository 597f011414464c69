"""A run that an importer fills: everything that a run may have, in plain calls."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import msgspec

from expman.importers.files import ImportedFiles
from expman.importers.report import MetricNames, Report
from expman.importers.rows import ImportedRows
from expman.importers.tables import ImportedTables
from expman.metadata import RunMetadata
from expman.models import LogLevel, MetricValue, RunStatus, safe_text
from expman.storage.configfile import merge_params
from expman.storage.console_log import ConsoleLog, format_console
from expman.storage.provenance import write_provenance
from expman.storage.runlog import RunLog
from expman.storage.times import iso
from expman.storage.vectors import VectorStore

__all__ = ["ImportedFacts", "ImportedRun", "flat_scalars", "modified_times"]

_LINES = 1000


class ImportedFacts(msgspec.Struct, kw_only=True):
    """What run.yaml says of a run besides its rows. Times are nanoseconds since the epoch.

    Attributes:
        status: how it ended.
        reason: why it FAILED or CRASHED.
        started_ns, finished_ns: None: the first and the last time of its rows.
        description, tags, group, project: as the source has them.
        scalars: latest values of single numbers and texts.
        params: parameters.
    """

    status: RunStatus = RunStatus.FINISHED
    reason: str | None = None
    started_ns: int | None = None
    finished_ns: int | None = None
    description: str | None = None
    tags: list[str] = []
    group: str | None = None
    project: str | None = None
    scalars: dict[str, MetricValue] = {}
    params: dict[str, object] = {}


class ImportedRun:
    """The files of one, in a directory that nobody lists yet.

    Args:
        run_dir: the directory; it is empty.

    Attributes:
        report: what is left out.
        rows: metrics, by row or by value.
        tables: histograms, and samples of the machine.
        files: media and artifacts.
        facts: the rest; whoever imports sets them.
        provenance: what provenance.yaml says.
    """

    def __init__(self, run_dir: str) -> None:
        self.report = Report()
        self.facts = ImportedFacts()
        self.provenance: dict[str, object] = {}
        self._run_dir = run_dir
        self._store = VectorStore(run_dir)
        self.rows = ImportedRows(self._store, MetricNames(self.report))
        self.tables = ImportedTables(self._store.directory)
        self.files = ImportedFiles(run_dir, self.report)
        self._console: list[str] = []
        self._log: list[tuple[str, int, str]] = []

    def print_lines(self, stream: str, time_ns: int, lines: Sequence[str]) -> None:
        """Appends lines that the program printed to "out" or "err"."""
        self._console += format_console(stream, "main", max(time_ns, 0), map(safe_text, lines))
        if len(self._console) > _LINES:
            self._write_console()

    def _write_console(self) -> None:
        log = ConsoleLog(self._run_dir)
        log.append_text("".join(self._console))
        log.sync()
        self._console = []

    def note(self, level: LogLevel, time_ns: int, text: str) -> None:
        """Appends a message to run.log."""
        self._log.append((level, max(time_ns, 0), safe_text(text)))

    def finish(self, experiment: str, tracker: str, default_times: tuple[int, int]) -> RunMetadata:
        """Writes everything; returns what run.yaml is to say, without the run's name.

        Args:
            experiment: name of its experiment.
            tracker: where it comes from, recorded as its language.
            default_times: begin and end of a run of which neither is known.

        Raises:
            StorageError: the disk cannot take it.
        """
        facts = self.facts
        self.rows.finish()
        self.tables.finish()
        self.files.finish()
        if self._console:
            self._write_console()
        if self.provenance:
            write_provenance(self._run_dir, self.provenance)
        if facts.params:
            for warning in merge_params(self._run_dir, facts.params):
                self.note(LogLevel.WARN, default_times[1], warning)
        for warning in self._store.take_warnings():
            self.note(LogLevel.WARN, default_times[1], warning)
        log = RunLog(self._run_dir)
        log.create()
        log.append(self._log)
        log.sync()
        meta = self._metadata(experiment, tracker, default_times)
        self._store.summarize(meta)
        return meta

    def _metadata(
        self, experiment: str, tracker: str, default_times: tuple[int, int]
    ) -> RunMetadata:
        facts, rows = self.facts, self.rows
        known = rows.first_ns > 0
        first = facts.started_ns or (rows.first_ns if known else default_times[0])
        last = facts.finished_ns or (rows.last_ns if known else default_times[1])
        last = max(first, last)
        return RunMetadata(
            name="",
            experiment=experiment,
            status=facts.status,
            reason=_text(facts.reason),
            started_at=iso(first),
            finished_at=iso(last),
            duration_secs=(last - first) / 1e9,
            description=_text(facts.description),
            tags=[safe_text(tag) for tag in facts.tags] or None,
            scalars={safe_text(key): _safe(value) for key, value in facts.scalars.items()},
            language=tracker,
            rows_logged=rows.count,
            rows_written=rows.count,
            group=_text(facts.group),
            project=_text(facts.project),
        )

    def close(self) -> None:
        """Closes all files; what is not finished is left as it is."""
        self.tables.close()
        self._store.close()


def _text(value: str | None) -> str | None:
    return None if value is None else safe_text(value)


def _safe(value: MetricValue) -> MetricValue:
    return safe_text(value) if isinstance(value, str) else value


def flat_scalars(values: Mapping[str, object], prefix: str = "") -> dict[str, MetricValue]:
    """Nested mappings with "/" between the names; what is not a number or text is left out."""
    found: dict[str, MetricValue] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found |= flat_scalars(value, f"{name}/")
        elif isinstance(value, float | int | str):
            found[name] = value
    return found


def modified_times(paths: Sequence[str]) -> tuple[int, int]:
    """The least and the greatest time at which files were modified."""
    times = [os.stat(path).st_mtime_ns for path in paths if os.path.exists(path)]
    return (min(times), max(times)) if times else (0, 0)
