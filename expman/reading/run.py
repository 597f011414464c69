"""Run: one run. Its attributes are read from the files at the moment of the call."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from expman.errors import ConfigError, ExpmanError, StorageError
from expman.metadata import MetricBest, RunMetadata
from expman.models import MetricValue, RunStatus, VectorRow
from expman.reading.params import flat_params, read_params
from expman.reading.run_contents import RunContents
from expman.reading.run_frames import RunFrames
from expman.reading.run_media import RunMedia
from expman.reading.runyaml import RunYaml
from expman.reading.summary import RunDetails, RunSummary, experiment_of, name_of
from expman.storage.paths import RUN_YAML

if TYPE_CHECKING:
    import pyarrow as pa

    from expman.reading.best import Best
    from expman.reading.catalog_index import CatalogIndex
    from expman.reading.kinds import BestKind

__all__ = ["Run"]


class Run(RunContents, RunFrames, RunMedia):
    """One run. Each attribute is read from the run's files when it is used.

    Args:
        path: the run's directory; a URL such as `s3://BUCKET/PREFIX/EXPERIMENT/RUN`; or what the
            command accepts: `latest`, `EXPERIMENT/latest`, or the beginning of a name that no
            other run has.
        base_dir: directory, or URL, in which names are looked up; EXPMAN_BASE_DIR, or
            `experiments`, if left out.

    Raises:
        ConfigError: the URL cannot be understood.
        StorageError: there is no such run, or several have names that begin like this.
    """

    _yaml: RunYaml | None = None
    _catalog: CatalogIndex | None = None
    _row: int = 0
    _elsewhere: ClassVar[Callable[[str, str | None], Run] | None] = None
    """Finds what is not a directory; set by `opening`, which knows the files that know this one."""

    def __new__(cls, path: str | os.PathLike[str] = "", *, base_dir: str | None = None) -> Run:
        where = os.fspath(path)
        if cls is Run and where and cls._elsewhere is not None and not os.path.isdir(where):
            return cls._elsewhere(where, base_dir)
        return object.__new__(cls)

    def __init__(self, path: str | os.PathLike[str], *, base_dir: str | None = None) -> None:
        if "path" in self.__dict__:
            return  # found under another name
        self.path = os.fspath(path)
        if not os.path.isdir(self.path):
            raise StorageError(self.path, "no such directory; list the runs with expman.runs()")

    @classmethod
    def _found(cls, path: str, yaml: RunYaml) -> Run:
        run: Run = object.__new__(cls)
        run.path, run._yaml = path, yaml
        return run

    @property
    def _local_dir(self) -> str:
        """Where the run's files are on this machine, or will be once they are fetched."""
        return self.path

    @property
    def _place(self) -> str:
        """Where the run is: its directory, or its URL."""
        return self.path

    @property
    def _base_dir(self) -> str:
        """The base directory, or its URL with all options; "" if the path has none."""
        return self.path.rsplit("/", 2)[0] if self.path.count("/") > 1 else ""

    @classmethod
    def _listed(cls, path: str, catalog: CatalogIndex, row: int) -> Run:
        run: Run = object.__new__(cls)
        run.path, run._catalog, run._row = path, catalog, row
        return run

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path}

    @property
    def _file(self) -> RunYaml:
        if self._yaml is None or not self._yaml.is_current():
            try:
                self._yaml = RunYaml(self.path)
            except FileNotFoundError as exc:
                detail = "does not exist: the run has just begun, or the directory is not a run"
                raise StorageError(os.path.join(self.path, RUN_YAML), detail) from exc
        return self._yaml

    def _read_yaml(self) -> RunYaml:
        """The run.yaml that was read last, or that is there now.

        Raises:
            StorageError: it is absent or cannot be read.
        """
        return self._yaml or self._file

    # -- from run.yaml --------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The run's name, which is its directory's."""
        return name_of(self.path)

    @property
    def experiment(self) -> str:
        """The experiment's name, which is that of the directory above."""
        return experiment_of(self.path)

    @property
    def metadata(self) -> RunMetadata:
        """The whole content of run.yaml.

        Raises:
            StorageError: it is absent or damaged.
        """
        return self._file.metadata()

    @property
    def status(self) -> RunStatus:
        """The status: RUNNING, FINISHED, FAILED or CRASHED."""
        return self._file.status

    @property
    def is_live(self) -> bool:
        """True if the status is RUNNING.

        If all processes of a run were killed at once, its status stays RUNNING until `expman
        recover`, or the next run on its host, corrects it.
        """
        return self.status is RunStatus.RUNNING

    @property
    def reason(self) -> str | None:
        """Reason why the run FAILED or CRASHED."""
        return self.metadata.reason

    @property
    def started_at(self) -> datetime.datetime | None:
        """Start of the run, in UTC."""
        return self._file.started_at

    @property
    def finished_at(self) -> datetime.datetime | None:
        """End of the run, in UTC; None while it is live."""
        return self.summary().finished_at

    @property
    def duration(self) -> datetime.timedelta | None:
        """Time that the run took, or has been running; None if that is unknown."""
        return self.summary().duration

    @property
    def tags(self) -> list[str]:
        """The run's tags."""
        return self._file.tags

    @property
    def group(self) -> str | None:
        """The group that the run belongs to."""
        return self._file.group

    @property
    def description(self) -> str | None:
        """The description that was given for the run."""
        return self.metadata.description

    @property
    def scalars(self) -> dict[str, MetricValue]:
        """The latest value of each `log_scalar` key."""
        return self.metadata.scalars

    @property
    def latest(self) -> dict[str, MetricValue]:
        """The latest value of each metric; a few seconds old at most while the run is live.

        Texts of more than 1,000 characters are cut and end with a digest. Of very many metrics
        only the first ones are included. `vectors()` has everything.
        """
        return self.metadata.vectors

    # -- from other files -----------------------------------------------------------------

    @property
    def config(self) -> dict[str, object]:
        """The parameters of the run; empty if none were logged.

        Raises:
            StorageError: config.yaml is damaged.
        """
        try:
            ours = self._file.is_ours
        except StorageError:
            ours = True
        return read_params(self.path, dates=ours)

    def best(self, metric: str, kind: BestKind) -> Best:
        """The least, the greatest or the last number of a metric, with its step.

        NaN is never the least or the greatest number, but may be the last one. Of equal numbers
        the first one counts. That of a live run may be some seconds old.

        Args:
            metric: the metric's name.
            kind: "min", "max" or "last".

        Raises:
            ConfigError: there is no such metric, it has no number, or `kind` is another word.
            StorageError: a file cannot be read.
        """
        from expman.reading.best import Best
        from expman.reading.columns import no_such_column
        from expman.reading.kinds import KINDS

        if kind not in KINDS:
            raise ConfigError("kind", kind, f"must be one of {', '.join(KINDS)}")
        found = self.best_numbers([metric]).get(metric)
        value = None if found is None else getattr(found, kind)
        if value is not None:
            return Best(value, getattr(found, f"{kind}_step"))
        metrics = self.metrics
        if metric not in metrics:
            missing = no_such_column(f"run {self.path} has no metric", [metric], metrics)
            raise ConfigError("metric", metric, missing.rule)
        raise ConfigError("metric", metric, f"run {self.path} has no number of it, or only NaN")

    def best_numbers(self, metrics: Sequence[str] | None = None) -> dict[str, MetricBest]:
        """The least, the greatest and the last number of several metrics; see `best`.

        Args:
            metrics: only these, as far as the run has numbers of them; all if left out.

        Raises:
            StorageError: a file cannot be read.
        """
        from expman.reading.best import computed_best

        stored = self.metadata.best
        if metrics is None:
            return stored or computed_best(self.path)
        missing = [metric for metric in metrics if metric not in stored]
        computed = computed_best(self.path, missing) if missing else {}
        found = {**stored, **computed}
        return {metric: found[metric] for metric in metrics if metric in found}

    # -- rows -------------------------------------------------------------------------------

    @property
    def metrics(self) -> list[str]:
        """The names of the columns of `vectors()` that hold metrics."""
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
        """Every row that is in the run's files, once each, in the order of logging.

        A live run can be read at any moment. Each file is opened once, and only the requested
        columns are read.

        Args:
            columns: the columns to read, in this order; `step`, `timestamp`, `_producer` and
                `_seq` may be among them. Step, timestamp and all metrics if left out.
            steps: only rows with these steps; a slice excludes its end, like a range.
            merge_steps: one row per step, sorted by step, with the latest value of each metric.
                Rows without a step follow unchanged.
            last: only the newest rows, this many.

        Raises:
            ConfigError: the run has no such column.
            StorageError: a file cannot be read.
        """
        from expman.reading.vectors import read_vectors

        return read_vectors(self.path, columns, steps=steps, merge_steps=merge_steps, last=last)

    def follow(
        self, *, from_start: bool = True, poll_s: float = 0.25, timeout_s: float | None = None
    ) -> Iterator[VectorRow]:
        """Yields new rows as they are written, until the run has ended.

        Args:
            from_start: begin with the rows that exist already.
            poll_s: seconds between two looks.
            timeout_s: end when no row has come for so many seconds.

        Raises:
            StorageError: a file cannot be read.
        """
        from expman.reading.follow import follow

        def find_dir() -> str:
            return self.path

        return follow(find_dir, from_start=from_start, poll_s=poll_s, timeout_s=timeout_s)

    def peek(self) -> list[VectorRow]:
        """The rows that are only in shared memory yet, of this user on this machine.

        Reading them disturbs neither the producer nor the writer.
        """
        from expman.reading.peek import peek

        return peek(self.path)

    # -- views ----------------------------------------------------------------------------

    def watch(self, *, every_s: float = 1.0, timeout_s: float | None = None) -> None:
        """Shows the run in a notebook or a terminal, and refreshes the view until the run ends."""
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

    def summary(self) -> RunSummary:
        """The content of run.yaml, read once, as a plain record.

        Raises:
            StorageError: it is absent or damaged.
        """
        return RunSummary(self.path, self.metadata)

    def _details(self, *, max_curves: int) -> RunDetails:
        """Content of a view of the run as a plain record; curves of so many metrics at most.

        Raises:
            StorageError: a file cannot be read.
        """
        from expman.reading.metric_curves import curves

        metrics = self.metrics
        return RunDetails(
            self.summary(),
            metrics,
            curves(self.path, metrics[:max_curves]),
            flat_params(self.config),
            len(self.artifacts()),
            self._observed(),
            self.media(),
        )

    def _repr_html_(self) -> str:
        from expman.reading.html import MAX_METRICS, error_html, run_html

        try:
            return run_html(self._details(max_curves=MAX_METRICS))
        except ExpmanError as exc:
            return error_html(self.path, exc)

    def __rich__(self) -> object:
        from expman.reading.rich_cells import cell
        from expman.reading.rich_view import MAX_METRICS, run_view

        try:
            return run_view(self._details(max_curves=MAX_METRICS))
        except ExpmanError as exc:
            return cell(f"{self.path}: {exc}")
