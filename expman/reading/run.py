"""Run: one run, as its files show it at the moment of the call."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from expman.errors import ConfigError, StorageError
from expman.models import LogLevel, MetricValue, RunMetadata, RunStatus, VectorRow
from expman.reading.runyaml import RunYaml
from expman.storage import paths, yamlfile
from expman.storage.times import parse_time

if TYPE_CHECKING:
    import duckdb
    import pandas
    import polars
    import pyarrow as pa

__all__ = ["LogEntry", "Run", "flat_config", "no_such_column", "parse_log"]

_NAMED = 30
_ENTRY = re.compile(r"\[([^\]]*)\] \[([A-Z]+)\] (.*)")


class LogEntry(msgspec.Struct, frozen=True):
    """One message of run.log.

    Attributes:
        time: when it was logged; None if the line's time cannot be read.
        level: its severity.
        message: the text, which may have several lines.
    """

    time: datetime.datetime | None
    level: LogLevel
    message: str


class Run:
    """One run. Every attribute is read from the files when it is asked for.

    Args:
        path: the run's directory.

    Raises:
        StorageError: there is no such directory.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        if not os.path.isdir(self.path):
            raise StorageError(self.path, "is no run: there is no such directory")
        self._yaml: RunYaml | None = None

    @classmethod
    def _found(cls, path: str, yaml: RunYaml) -> Run:
        run = cls.__new__(cls)
        run.path, run._yaml = path, yaml
        return run

    @property
    def _file(self) -> RunYaml:
        if self._yaml is None or not self._yaml.is_current():
            try:
                self._yaml = RunYaml(self.path)
            except FileNotFoundError as exc:
                detail = "is not there: the run has just begun, or this is no run"
                raise StorageError(os.path.join(self.path, paths.RUN_YAML), detail) from exc
        return self._yaml

    # -- what run.yaml says ---------------------------------------------------------------

    @property
    def name(self) -> str:
        """Name of the run: its directory."""
        return os.path.basename(os.path.abspath(self.path))

    @property
    def experiment(self) -> str:
        """Name of the experiment: the directory above."""
        return os.path.basename(os.path.dirname(os.path.abspath(self.path)))

    @property
    def metadata(self) -> RunMetadata:
        """All that run.yaml says.

        Raises:
            StorageError: it is absent or damaged.
        """
        return yamlfile.to_metadata(self._file.path, dict(self._file.whole))

    @property
    def status(self) -> RunStatus:
        """Where the run stands."""
        return self._file.status

    @property
    def is_live(self) -> bool:
        """Whether the run goes on, as far as its files say.

        A run whose processes were killed all at once says so until `expman recover` or the
        next run on its host has found out.
        """
        return self.status is RunStatus.RUNNING

    @property
    def reason(self) -> str | None:
        """Why it FAILED or CRASHED."""
        return self.metadata.reason

    @property
    def started_at(self) -> datetime.datetime | None:
        """When it began, UTC."""
        return self._file.started_at

    @property
    def finished_at(self) -> datetime.datetime | None:
        """When it ended, UTC; None while it lives."""
        return parse_time(self.metadata.finished_at)

    @property
    def duration(self) -> datetime.timedelta | None:
        """How long it took, or has been going on."""
        meta = self.metadata
        if meta.duration_secs is not None:
            return datetime.timedelta(seconds=meta.duration_secs)
        start, end = parse_time(meta.started_at), parse_time(meta.finished_at)
        if start is None or (end is None and meta.status is not RunStatus.RUNNING):
            return None
        return max((end or datetime.datetime.now(datetime.UTC)) - start, datetime.timedelta(0))

    @property
    def tags(self) -> list[str]:
        """Its tags."""
        return self._file.tags

    @property
    def group(self) -> str | None:
        """The group of runs that it belongs to."""
        return self._file.group

    @property
    def description(self) -> str | None:
        """What was said about it."""
        return self.metadata.description

    @property
    def scalars(self) -> dict[str, MetricValue]:
        """The latest value of each `log_scalar` key."""
        return self.metadata.scalars

    @property
    def latest(self) -> dict[str, MetricValue]:
        """The latest value of each metric, at most some seconds old while the run lives.

        Texts of more than 1,000 characters are cut, with a digest; of very many metrics the first
        ones are there. `vectors()` has everything.
        """
        return self.metadata.vectors

    # -- the other files --------------------------------------------------------------------

    @property
    def config(self) -> dict[str, object]:
        """The parameters; empty if none were logged.

        Raises:
            StorageError: config.yaml is damaged.
        """
        path = os.path.join(self.path, paths.CONFIG_YAML)
        if not os.path.exists(path):
            return {}
        try:
            ours = "rows_logged" in self._file.whole
        except StorageError:
            ours = True
        # expman-rs keeps no dates: what looks like one was logged as text.
        return yamlfile.read_yaml(path, dates=ours, follow=True)

    def log(self) -> list[LogEntry]:
        """The messages of run.log.

        Raises:
            StorageError: it cannot be read.
        """
        path = os.path.join(self.path, paths.RUN_LOG)
        try:
            fd = paths.open_regular(path, follow=True)
            with open(fd, encoding="utf-8", errors="replace", newline="\n") as file:
                return list(parse_log(file.read()))
        except FileNotFoundError:
            return []
        except OSError as exc:
            raise paths.storage_error(path, exc) from exc

    def artifacts(self) -> list[str]:
        """Paths of the saved files, sorted.

        Links to directories are not followed: a run has what is below its own directory.
        """
        return sorted(_files_below(os.path.join(self.path, paths.ARTIFACTS)))

    # -- rows -------------------------------------------------------------------------------

    @property
    def metrics(self) -> list[str]:
        """The columns of `vectors()` that hold metrics."""
        from expman.reading.vectors import metric_names

        return metric_names(self.path)

    def vectors(
        self,
        columns: Sequence[str] | None = None,
        *,
        steps: range | slice | int | Collection[int] | None = None,
        merge_steps: bool = False,
        last: int | None = None,
    ) -> pa.Table:
        """Every row that is in a file, each once, in the order of logging; a live run's, too.

        Each file is opened once, and only the columns that are asked for are read.

        Args:
            columns: exactly these, `step`, `timestamp`, `_producer` and `_seq` among them if
                they are named; else step, timestamp and all metrics.
            steps: only rows of these steps; a slice has its end excluded, like a range.
            merge_steps: one row per step with the latest value of each metric, by step; rows
                without a step stay as they are, behind.
            last: only so many rows, the newest.

        Raises:
            ConfigError: the run has no such column.
            StorageError: a file cannot be read.
        """
        from expman.reading.vectors import read_vectors

        return read_vectors(self.path, columns, steps=steps, merge_steps=merge_steps, last=last)

    def to_pandas(self, columns: Sequence[str] | None = None, **options: Any) -> pandas.DataFrame:
        """`vectors()` as a pandas DataFrame; takes the same arguments.

        Integers stay exact: a column of them is `Int64` where rows lack it. In a column of
        floats pandas has NaN both for NaN and for what was not logged; `vectors()` has null.
        """
        from expman.reading.frames import pandas_frame

        return pandas_frame(self.vectors(columns, **options))

    def to_polars(self, columns: Sequence[str] | None = None, **options: Any) -> polars.DataFrame:
        """`vectors()` as a polars DataFrame; takes the same arguments."""
        import polars

        frame = polars.from_arrow(self.vectors(columns, **options))
        assert isinstance(frame, polars.DataFrame)
        return frame

    def to_duckdb(
        self,
        columns: Sequence[str] | None = None,
        *,
        connection: duckdb.DuckDBPyConnection | None = None,
        **options: Any,
    ) -> duckdb.DuckDBPyRelation:
        """`vectors()` as a DuckDB relation; takes the same arguments, and a connection.

        Metrics that differ only in the case of their letters, `loss` and `Loss`, are columns
        `loss__case1` and `Loss__case2`: in SQL their plain names are one.
        """
        import duckdb

        from expman.reading.sql import distinct_names

        table = distinct_names(self.vectors(columns, **options))
        return (connection or duckdb).from_arrow(table)

    def follow(
        self, *, from_start: bool = True, poll_s: float = 0.25, timeout_s: float | None = None
    ) -> Iterator[VectorRow]:
        """New rows, as they are written, until the run has ended.

        Args:
            from_start: begin with the rows that are there already.
            poll_s: how often to look.
            timeout_s: end if no row came for so long.

        Raises:
            StorageError: a file cannot be read.
        """
        from expman.reading.follow import follow

        return follow(self, from_start=from_start, poll_s=poll_s, timeout_s=timeout_s)

    def peek(self) -> list[VectorRow]:
        """Rows that are still only in shared memory: those of this user, on this machine.

        Reads without a trace: neither the producer nor the writer is disturbed.
        """
        from expman.reading.peek import peek

        return peek(self.path)

    # -- looks ------------------------------------------------------------------------------

    def watch(self, *, every_s: float = 1.0, timeout_s: float | None = None) -> None:
        """Shows the run in a notebook or a terminal, fresh every so often, until it ends."""
        from expman.reading.watch import watch

        watch(self, every_s=every_s, timeout_s=timeout_s)

    def __repr__(self) -> str:
        return f"Run({self.path!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Run):
            return NotImplemented
        return os.path.realpath(self.path) == os.path.realpath(other.path)

    def __hash__(self) -> int:
        return hash(os.path.realpath(self.path))

    def __fspath__(self) -> str:
        return self.path

    def _repr_html_(self) -> str:
        from expman.reading.html import run_html

        return run_html(self)

    def __rich__(self) -> object:
        from expman.reading.rich_view import run_view

        return run_view(self)


def _files_below(directory: str) -> Iterator[str]:
    if os.path.islink(directory):
        return
    for folder, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(folder, name)
            if not name.startswith(paths.TEMP_PREFIX) and os.path.isfile(path):
                yield path


def parse_log(text: str) -> Iterator[LogEntry]:
    """Reads the entries of a run.log; a last line without its end is left out if it is torn.

    Lines that begin no entry belong to the entry before.
    """
    entry: LogEntry | None = None
    for line in text.split("\n"):
        match = _ENTRY.fullmatch(line)
        if match is not None:
            if entry is not None:
                yield entry
            level = LogLevel(match[2]) if match[2] in LogLevel.__members__ else LogLevel.INFO
            entry = LogEntry(parse_time(match[1]), level, match[3])
        elif entry is not None and line:
            entry = msgspec.structs.replace(
                entry, message=f"{entry.message}\n{line.removeprefix('    ')}"
            )
    if entry is not None:
        yield entry


def no_such_column(path: str, missing: Sequence[str], known: Sequence[str]) -> ConfigError:
    """The error about columns that a run does not have."""
    names = ", ".join(known[:_NAMED]) or "none yet"
    if len(known) > _NAMED:
        names += f" and {len(known) - _NAMED} more"
    return ConfigError("columns", list(missing), f"{path} has no such column; it has {names}")


def flat_config(config: Mapping[str, object]) -> dict[str, object]:
    """Parameters with dotted names, as tables show them: `model.layers`."""
    flat: dict[str, object] = {}
    for keys, value in _leaves(config, ()):
        name = ".".join(map(str, keys))
        if name in flat:  # `{"a": {"b": 1}, "a.b": 2}`, or the keys 1 and "1"
            name = ".".join(map(repr, keys))
        flat[name] = value
    return flat


def _leaves(
    config: Mapping[Any, object], above: tuple[object, ...]
) -> Iterator[tuple[tuple[object, ...], object]]:
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*above, key))
        else:
            yield (*above, key), value
