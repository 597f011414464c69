"""Finishes runs that have no shared memory, from what is in their files."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

from expman.errors import StorageError
from expman.metadata import RunMetadata
from expman.models import LogLevel, RunStatus
from expman.shown import count_of
from expman.storage.examine import write_post_mortem
from expman.storage.journal import Journal, known_state, set_aside_damage
from expman.storage.paths import HISTOGRAMS, RUN_YAML, SYSTEM, has_tail, parquet_name
from expman.storage.runlog import RunLog
from expman.storage.stacks import remove_live_stacks
from expman.storage.times import iso, seconds_between, since_epoch_ns
from expman.storage.vectors import VectorStore
from expman.storage.yamlfile import RunFile
from expman.writer.copier import store_artifacts
from expman.writer.outcome import Outcome, summary
from expman.writer.sinks.metadata import HEARTBEAT_S
from expman.writer.stale import StaleRun

__all__ = ["finish_from_files"]


def finish_from_files(run: StaleRun) -> Iterator[Outcome]:
    """Finishes a run that is dead, and reports one that is not."""
    if not run.dead:
        hint = "" if run.young else " (--any-host recovers it)"
        yield Outcome(f"left alone {run.run_dir}: {run.why}{hint}")
        return
    try:
        damage = set_aside_damage(run.run_dir)
        meta = known_state(run.run_dir) or _unknown(run.run_dir)
        ended_at = _last_sign(run.run_dir, meta)
        with contextlib.closing(VectorStore(run.run_dir)) as store:
            _finish(run, meta, store, damage, ended_at)
    except StorageError as exc:
        yield Outcome(f"cannot recover {run.run_dir}: {exc}", ok=False)
    else:
        yield Outcome(f"recovered {run.run_dir} from its files: {summary(run.run_dir)}")


def _finish(
    run: StaleRun, meta: RunMetadata, store: VectorStore, damage: str | None, ended_at: float
) -> None:
    store.finish()
    samples = [warning for stem in (SYSTEM, HISTOGRAMS) for warning in _finish_table(store, stem)]
    missing = store_artifacts(run.run_dir)
    log = RunLog(run.run_dir)
    log.mend()
    lines = [(LogLevel.WARN, warning) for warning in (*store.take_warnings(), *samples)]
    lines += [(LogLevel.ERROR, line) for line in missing]
    lines += [(LogLevel.ERROR, damage)] if damage is not None else []
    reported = meta.rows_missing
    if meta.status is RunStatus.RUNNING:
        reported = 0
        _mark_ended(meta, f"nobody ran it any more: {run.why}", ended_at)
        text = f"run {meta.status}: {meta.reason}; recovered from its files"
        is_well = meta.pruned is not None
        lines.append((LogLevel.INFO if is_well else LogLevel.ERROR, text))
    log.append([(level, time.time_ns(), text) for level, text in lines])
    log.sync()
    _count(meta, store, reported)
    meta.artifacts_missing += len(missing)
    store.summarize(meta)
    with contextlib.suppress(StorageError):
        write_post_mortem(run.run_dir, meta)
    remove_live_stacks(run.run_dir)
    RunFile(run.run_dir).write(meta)
    Journal(run.run_dir).remove()


def _finish_table(rows: VectorStore, stem: str) -> list[str]:
    """Brings the rows of another table's tail into its Parquet file; returns warnings."""
    run_dir = rows.directory.path
    if not has_tail(run_dir, stem):
        return []
    try:
        with contextlib.closing(VectorStore(run_dir, stem, rows.directory)) as store:
            store.finish()
            return store.take_warnings()
    except StorageError as exc:
        return [f"rows of {parquet_name(stem)} stay in their live tail: {exc}"]


def _unknown(run_dir: str) -> RunMetadata:
    """The metadata of a run of which only the rows and the directory are known."""
    experiment_dir, name = os.path.split(run_dir)
    return RunMetadata(name=name, experiment=os.path.basename(experiment_dir))


def _mark_ended(meta: RunMetadata, reason: str, ended_at: float) -> None:
    meta.status, meta.reason = meta.end_as(RunStatus.CRASHED, reason)
    meta.finished_at = iso(int(ended_at * 1e9))
    began = meta.attempt_started_at or meta.started_at
    meta.set_duration(seconds_between(began, meta.finished_at))


def _count(meta: RunMetadata, store: VectorStore, reported: int) -> None:
    """Counts rows without shared memory, from the last counts and the numbers of the rows.

    Args:
        meta: changed.
        store: the rows.
        reported: how many missing rows the reason names already.
    """
    meta.rows_written = store.rows_written
    meta.rows_superseded = store.rows_superseded
    numbered = sum(store.reach.values())
    there = meta.rows_written + meta.rows_superseded + meta.rows_dropped
    meta.rows_logged = max(meta.rows_logged, numbered, there)
    meta.rows_missing = meta.rows_logged - there
    if meta.rows_missing > reported:
        text = count_of(meta.rows_missing, "row is missing", "rows are missing")
        meta.reason = f"{meta.reason}; {text}" if meta.reason else text


def _last_sign(run_dir: str, meta: RunMetadata) -> float:
    """End of the run: the last change of one of its files, in seconds since the epoch.

    A recovery that was killed has changed some, too, but not run.yaml, which a live run renews.
    """
    with os.scandir(run_dir) as entries:
        times = {entry.name: entry.stat(follow_symlinks=False).st_mtime for entry in entries}
    last = max(times.values(), default=0.0)
    began = since_epoch_ns(meta.attempt_started_at or meta.started_at) / 1e9
    if meta.heartbeat_at is None or RUN_YAML not in times:
        return last
    return min(last, times[RUN_YAML] + HEARTBEAT_S, key=lambda moment: (moment < began, moment))
