"""One import: sources become runs, one after the other."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from expman.errors import ExpmanError
from expman.formats.damage import DamagedError
from expman.importers.imported_run import ImportedRun
from expman.importers.place import (
    EarlierImports,
    Origin,
    Place,
    directory_name,
    read_origin,
    remove_leftovers,
)
from expman.importers.report import Report
from expman.importers.source import Advance, Source
from expman.job_map import JobMap
from expman.metadata import RunMetadata
from expman.models import safe_text
from expman.storage.yamlfile import RunFile

__all__ = ["Imported", "import_by_jobs", "import_run", "import_runs"]

_THREADS = 4
_VERSION = 1
"""Of the importers: a run that an earlier one made is made again."""


class _Stopped(Exception):
    """The import ends before its time."""


class Imported(NamedTuple):
    """What became of a source.

    Attributes:
        run_dir: the run.
        rows: how many it has.
        report: what was left out; None if the run is as an earlier import made it.
        kept_rows: rows of an earlier import, which has more than the source has now; else 0.
    """

    run_dir: str
    rows: int
    report: Report | None
    kept_rows: int = 0


def import_run(
    source: Source, home: str, earlier: EarlierImports | _Decided, advance: Advance
) -> Imported:
    """Makes a run of a source, or replaces the one that an earlier import made.

    Args:
        source: the run there.
        home: directory of the experiment; it is there.
        earlier: what earlier imports have made there; gets this one.
        advance: is called with the bytes that were read.

    Durability: durable when it returns.

    Raises:
        DamagedError: nothing of it can be read.
        StorageError: the disk cannot take it.
        OSError: the source cannot be read.
    """
    origin = _identity(source)
    place = Place(home, origin)
    run_dir = _run_dir(source, earlier)
    if source.state and _state(read_origin(run_dir)) == (source.state, _VERSION):
        advance(source.size)
        return Imported(run_dir, _rows_of(run_dir), None)
    with place.open():
        run = ImportedRun(place.staging)
        try:
            source.read(run, advance)
            if run.facts.description is None:
                run.facts.description = source.about
            experiment = os.path.basename(os.path.abspath(home))
            meta = run.finish(experiment, source.tracker, source.times)
        finally:
            run.close()
        kept = _rows_of(run_dir)
        if kept > meta.rows_written:
            return Imported(run_dir, meta.rows_written, run.report, kept)
        place.take(run_dir, meta, _origin(source, run.report, meta))
    earlier.add(origin, run_dir)
    return Imported(run_dir, meta.rows_written, run.report)


def import_runs(
    sources: Sequence[Source], home: str, advance: Advance
) -> Iterator[tuple[Source, Imported | Exception]]:
    """Imports runs into one experiment, several at once, for most of the time is the disk's.

    What killed imports have left there is removed first.

    Yields:
        Each source, in order, with what became of it, or with the error that says why it was not
        imported.
    """
    remove_leftovers(home)
    earlier = EarlierImports(home)
    lock, is_stopped = threading.Lock(), threading.Event()

    def count(read: int) -> None:
        if is_stopped.is_set():
            raise _Stopped
        with lock:
            advance(read)

    def attempt(source: Source) -> Imported | Exception:
        try:
            return import_run(source, home, earlier, count)
        except (DamagedError, ExpmanError, OSError) as exc:
            return exc

    are_different = len({source.identity for source in sources}) == len(sources)
    pool = ThreadPoolExecutor(_THREADS if are_different else 1)
    try:
        yield from zip(sources, pool.map(attempt, sources), strict=True)
    finally:  # also where the caller is interrupted, which reaches no other thread
        is_stopped.set()
        pool.shutdown(cancel_futures=True)


class _Decided(NamedTuple):
    """In place of `EarlierImports` where another process has chosen the directory."""

    chosen: str

    def run_dir(self, name: str, origin: tuple[str, str]) -> str:
        return self.chosen

    def add(self, origin: tuple[str, str], run_dir: str) -> None:
        pass


def _attempt(job: tuple[Source, str, str]) -> Imported | Exception:
    source, home, run_dir = job
    try:
        return import_run(source, home, _Decided(run_dir), lambda count: None)
    except (DamagedError, ExpmanError, OSError) as exc:
        return exc


def import_by_jobs(
    sources: Sequence[Source], home: str, job_map: JobMap
) -> Iterator[tuple[Source, Imported | Exception]]:
    """Does the same as `import_runs`, with one job per run.

    The names are given here, so that no two runs get the same one.

    Args:
        sources: of one experiment.
        home: directory of the experiment; it is there.
        job_map: who does the jobs. Sources have functions of their own: it pickles by value.
    """
    identities = {source.identity for source in sources}
    if len(identities) < len(sources):  # one comes after the other
        yield from import_runs(sources, home, lambda count: None)
        return
    remove_leftovers(home)
    earlier = EarlierImports(home)
    jobs = [(source, home, _run_dir(source, earlier)) for source in sources]
    yield from zip(sources, job_map(_attempt, jobs), strict=True)


def _rows_of(run_dir: str) -> int:
    try:
        return RunFile(run_dir).read().rows_written if os.path.lexists(run_dir) else 0
    except ExpmanError:
        return 0


def _identity(source: Source) -> tuple[str, str]:
    return source.tracker, safe_text(source.identity)


def _run_dir(source: Source, earlier: EarlierImports | _Decided) -> str:
    return earlier.run_dir(directory_name("run_name", source.name), _identity(source))


def _state(origin: Origin) -> tuple[object, object]:
    return origin.get("state"), origin.get("version")


def _origin(source: Source, report: Report, meta: RunMetadata) -> Origin:
    return {
        "tracker": source.tracker,
        "identity": safe_text(source.identity),
        "path": safe_text(source.path),
        "name": safe_text(source.name),
        "rows": meta.rows_written,
        "left_out": dict(sorted(report.left_out.items())),
        "renamed": report.renamed,
        "more_renamed": report.more_renamed,
        "state": source.state,
        "version": _VERSION,
    }
