"""Finds runs below a base directory, newest first."""

from __future__ import annotations

import datetime
import math
import os
import re
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, SupportsIndex, overload

from expman.errors import ConfigError, ExpmanError, StorageError
from expman.models import RunStatus
from expman.reading.directories import is_run, run_dirs
from expman.reading.run import Run
from expman.reading.runyaml import RunYaml
from expman.reading.summary import RunSummary, UnreadableRun
from expman.reading.tags import TagFilter
from expman.reading.text import visible
from expman.shown import count_of
from expman.storage import paths

if TYPE_CHECKING:
    import pandas
    import pyarrow as pa

    from expman.reading.catalog_index import CatalogIndex, ListedRuns
    from expman.reading.listing import ListedRun

__all__ = ["RunList", "parse_since", "runs"]

_AGE = re.compile(r"(\d+(?:\.\d+)?) *([smhdw])")
_SHOWN = 20
"""Runs in the text of a list."""
_SHOWN_QUICKLY = 100
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class RunList(list[Run]):
    """A list of runs, newest first.

    Attributes:
        unreadable: directory and error of each run that could not be read.
    """

    def __init__(
        self, runs: Iterable[Run] = (), unreadable: Iterable[tuple[str, StorageError]] = ()
    ) -> None:
        super().__init__(runs)
        self.unreadable = list(unreadable)

    @overload
    def __getitem__(self, index: SupportsIndex) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> RunList: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Run | RunList:
        found = super().__getitem__(index)
        return found if isinstance(found, Run) else RunList(found)

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """One row per run: facts, parameters, and the best numbers of metrics.

        Args:
            columns: of `experiment`, `run`, `path`, `status`, `group`, `started_at`,
                `finished_at`, `duration_s`, `rows`; `params.KEY` for a parameter;
                `METRIC:min`, `METRIC:max`, `METRIC:last` for numbers of a metric, and
                `METRIC:min_step` and so on for their steps. All but parameters if left out.

        Raises:
            ConfigError: no run has such a column.
            StorageError: a file cannot be read.
        """
        from expman.reading.fields import check_fields
        from expman.reading.runcolumns import run_columns, run_table

        if columns is None:
            columns = run_columns(self)
        elif self:
            check_fields(self, columns)
        return run_table(self, columns)

    def to_pandas(self, columns: Sequence[str] | None = None) -> pandas.DataFrame:
        """`table()` as a pandas DataFrame."""
        from expman.reading.frames import pandas_frame

        return pandas_frame(self.table(columns))

    def sql(self, query: str) -> pa.Table:
        """Runs a query, with DuckDB, over the tables of these runs; see docs/reference/sql.md.

        Args:
            query: one SELECT over `runs`, `rows`, `metrics`, `params`, `scalars`, `system` and
                `media`.

        Raises:
            ConfigError: the query cannot be understood, or does more than read.
            StorageError: a file cannot be read.
        """
        from expman.reading.query import query as run_query

        return run_query(self, query)

    def sorted_by(self, column: str, *, reverse: bool | None = None) -> RunList:
        """The runs in the order of a column of `table()`; without a value, or with NaN, come last.

        Args:
            column: the column; `loss:min` has the best run first, as has `accuracy:max`.
            reverse: the greatest value first; if left out, exactly for `METRIC:max`.

        Raises:
            ConfigError: no run has such a column.
            StorageError: a file cannot be read.
        """
        from expman.reading.fields import check_fields, known_values

        if self:
            check_fields(self, [column])
        found = known_values(self, [column])
        values = [(value, run) for (value,), run in zip(found, self, strict=True)]
        known = [(value, run) for value, run in values if not _sorts_last(value)]
        if not all(isinstance(value, int | float) for value, _ in known):
            known = [(str(value), run) for value, run in known]  # times in UTC sort as text, too
        descending = column.endswith(":max") if reverse is None else reverse
        known.sort(key=lambda entry: entry[0], reverse=descending)  # type: ignore[arg-type,return-value]
        rest = [run for value, run in values if _sorts_last(value)]
        return RunList([*(run for _, run in known), *rest], self.unreadable)

    def summaries(self, limit: int | None = None) -> list[RunSummary | UnreadableRun]:
        """The content of each run's run.yaml, or why it cannot be read, as plain records.

        Args:
            limit: only so many runs, the first ones.
        """
        found: list[RunSummary | UnreadableRun] = []
        for run in self[:limit]:
            try:
                found.append(run.summary())
            except ExpmanError as exc:
                found.append(UnreadableRun(run._local_dir, exc))
        return found

    def listed(self) -> list[ListedRun | UnreadableRun]:
        """What a list shows of each run, or why it cannot be read, as plain records."""
        from expman.reading.catalog_listing import cataloged_run
        from expman.reading.listing import listed_run

        found: list[ListedRun | UnreadableRun] = []
        are_many = len(self) > _SHOWN_QUICKLY
        for run in self:
            try:
                # A few files on a disk are read in less time than a column of a catalog.
                is_quick = run._catalog is not None and (are_many or run._place != run._local_dir)
                known = cataloged_run(run) if is_quick else None
                found.append(known or listed_run(run._local_dir, run._read_yaml()))
            except ExpmanError as exc:
                found.append(UnreadableRun(run._local_dir, exc))
        return found

    def __repr__(self) -> str:
        """A line for each of the first runs: name, status, rows."""
        lines = [f"  {self._line(run)}\n" for run in self[:_SHOWN]]
        if len(self) > _SHOWN:
            lines.append(f"  … and {len(self) - _SHOWN} more\n")
        if self.unreadable:
            lines.append(f"  {len(self.unreadable)} cannot be read, see .unreadable\n")
        return f"RunList([\n{''.join(lines)}])" if lines else "RunList([])"

    def settle(self) -> RunList:
        """Uses the catalog as it was when the runs were listed. For commands, which end soon.

        Otherwise each use of a value checks whether the run has changed since.
        """
        catalog = next((run._catalog for run in self if run._catalog is not None), None)
        if catalog is not None:
            current = bytearray(catalog.rows)
            for run in self:
                if run._catalog is catalog:
                    current[run._row] = 1
            catalog.settle(current)
        return self

    def _line(self, run: Run) -> str:
        name = f"{run.experiment}/{run.name}"
        try:
            facts = f"{run.status}, {count_of(run.metadata.rows_written, 'row')}"
        except ExpmanError:
            facts = "cannot be read"
        return visible(f"{name}: {facts}")

    def _repr_html_(self) -> str:
        from expman.reading.html import MAX_RUNS, runs_html

        lines = self.summaries(MAX_RUNS)
        return runs_html(lines, count=len(self), unreadable=len(self.unreadable))

    def __rich__(self) -> object:
        from expman.reading.runs_table import runs_view

        return runs_view(self.listed())


def _sorts_last(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def runs(
    base_dir: str | os.PathLike[str] = "experiments",
    experiment: str | Collection[str] | None = None,
    status: RunStatus | str | Collection[RunStatus | str] | None = None,
    tags: str | Collection[str] | None = None,
    group: str | None = None,
    since: datetime.datetime | datetime.date | datetime.timedelta | str | None = None,
    where: str | None = None,
) -> RunList:
    """Lists runs, newest first. Arguments that are left out do not filter.

    Args:
        base_dir: directory that holds all experiments, or the URL of a copy that `expman mirror`
            made: `s3://BUCKET/PREFIX` and the like.
        experiment: a name, or several.
        status: a status in any letter case, or several.
        tags: tags that a run must all have, or an expression such as
            `"arm:tiered AND (study:1 OR study:2)"`.
        group: the group that the runs belong to.
        since: only runs that began at that time or later: a datetime, a date, an age (a
            timedelta, or `"90m"`, `"12h"`, `"7d"`) or a time in ISO 8601, local if it has
            no zone.
        where: a filter, such as `"lr < 0.01 and loss:min < 0.5"`; docs/reference/filters.md
            has the language.

    Returns:
        The runs; those that cannot be read are in the list's attribute `unreadable`.

    Raises:
        ConfigError: an argument cannot be understood.
        StorageError: the base directory does not exist.
    """
    wanted = _statuses(status)
    tag_filter = None if not tags else TagFilter(tags)
    earliest = None if since is None else parse_since(since)
    if where is not None:
        from expman.reading.filters import RunFilter

        run_filter = RunFilter(where)
        found = runs(base_dir, experiment, status, tags, group, since)
        chosen, lost = run_filter.choose(found)
        return RunList(chosen, [*found.unreadable, *((run._place, exc) for run, exc in lost)])
    base = os.fspath(base_dir)
    names = (
        None
        if experiment is None
        else {experiment}
        if isinstance(experiment, str)
        else {*experiment}
    )
    if "://" in base:
        from expman.reading.stored_base import StoredBase  # brings pyarrow.fs
        from expman.reading.stored_index import StoredIndex
        from expman.reading.stored_run import StoredRun

        stored = StoredBase(base)
        catalog: CatalogIndex | None = StoredIndex.of_store(stored)

        def as_found(run: Run) -> Run:
            return run if isinstance(run, StoredRun) else StoredRun.in_store(stored, run.path)
    else:
        stored, catalog, as_found = None, _catalog(base), _itself
    if catalog is not None:
        current, others = catalog.look(names)
        try:
            rows = catalog.choose(current, wanted, tag_filter, group, earliest)
            listed = catalog.listed(rows)
        except LookupError:  # its file is damaged or gone
            pass
        else:
            found = _read_runs(others, wanted, tag_filter, group, earliest)
            return RunList(map(as_found, _united(listed, found)), found.unreadable)
    every = base if stored is None else stored.refresh()
    found = _read_runs(run_dirs(every, names), wanted, tag_filter, group, earliest)
    return RunList(map(as_found, found), found.unreadable)


def _itself(run: Run) -> Run:
    return run


def _catalog(base: str) -> CatalogIndex | None:
    """Opens the catalog of a base directory, if it has one."""
    if not os.path.isdir(os.path.join(base, paths.CATALOG)):
        return None  # and pyarrow, which takes longer to import than a list of runs, is not needed
    from expman.reading.catalog_index import CatalogIndex

    return CatalogIndex.open(base)


def _read_runs(
    run_directories: Iterable[str],
    wanted: Collection[RunStatus] | None,
    tag_filter: TagFilter | None,
    group: str | None,
    earliest: datetime.datetime | None,
) -> RunList:
    """Reads run.yaml of each run, and lists those that the filters leave, newest first."""
    found: list[tuple[str, str, Run]] = []
    unreadable: list[tuple[str, StorageError]] = []
    for run_dir in run_directories:
        try:
            yaml = RunYaml(run_dir)
            chosen = (
                (wanted is None or yaml.status in wanted)
                and (group is None or yaml.group == group)
                and (earliest is None or _began_since(yaml, earliest))
                and (tag_filter is None or tag_filter.matches(yaml.tags))
            )
            if chosen:
                yaml.status  # noqa: B018 - a run without one is reported, not listed
                found.append((str(yaml.sort_key), run_dir, Run._found(run_dir, yaml)))
        except FileNotFoundError:
            if is_run(run_dir):
                path = os.path.join(run_dir, paths.RUN_YAML)
                unreadable.append((run_dir, StorageError(path, "does not exist (yet)")))
        except StorageError as exc:
            unreadable.append((run_dir, exc))
    found.sort(key=lambda entry: entry[:2], reverse=True)
    return RunList((run for _, _, run in found), unreadable)


def _united(cataloged: ListedRuns, others: Sequence[Run]) -> list[Run]:
    """Puts runs that were read from their directories in their places among the others."""
    every: list[Run] = []
    done = 0
    for run in others:
        place = cataloged.place(str(run._file.sort_key), run.path)
        every += cataloged.runs[done:place]
        every.append(run)
        done = place
    return every + cataloged.runs[done:]


def _statuses(
    status: RunStatus | str | Collection[RunStatus | str] | None,
) -> frozenset[RunStatus] | None:
    if status is None:
        return None
    try:
        several = [status] if isinstance(status, str) else status
        return frozenset(RunStatus.parse(one) for one in several)
    except ValueError:
        what = "must be" if isinstance(status, str) else "each must be"
        raise ConfigError("status", status, f"{what} one of {', '.join(RunStatus)}") from None


def _began_since(yaml: RunYaml, earliest: datetime.datetime) -> bool:
    began = yaml.started_at
    return began is not None and began >= earliest


def parse_since(
    since: datetime.datetime | datetime.date | datetime.timedelta | str,
) -> datetime.datetime:
    """Returns the moment that a `since` argument means.

    Raises:
        ConfigError: it cannot be understood.
    """
    moment: object = since
    if isinstance(since, str):
        age = _AGE.fullmatch(since.strip())
        if age is not None:
            moment = datetime.timedelta(seconds=float(age[1]) * _UNIT_S[age[2]])
        else:
            try:
                moment = datetime.datetime.fromisoformat(since.strip())
            except ValueError:
                rule = "must be an age (90m, 12h, 7d) or a time (2026-01-31, 2026-01-31T12:00)"
                raise ConfigError("since", since, rule) from None
    match moment:
        case datetime.timedelta():
            return datetime.datetime.now(datetime.UTC) - moment
        case datetime.datetime():
            return moment.astimezone()
        case datetime.date():
            return datetime.datetime(moment.year, moment.month, moment.day).astimezone()
    rule = "must be a datetime, a date, a timedelta, or text such as 7d or 2026-01-31"
    raise ConfigError("since", since, rule)
