"""`expman clean`: deletes old runs."""

from __future__ import annotations

import datetime

import click

from expman.cli.output import print_json, print_line, print_note
from expman.cli.runs import base_dir_option, check_experiment, count_runs
from expman.deletion import RUNNING, NotDeletedError, delete, remove_leftovers, size_bytes, why_kept
from expman.models import RunStatus
from expman.reading import find
from expman.reading.find import parse_since
from expman.reading.formats import format_size
from expman.reading.run import Run

__all__ = ["command"]

_ENDED = [status for status in RunStatus if status is not RunStatus.RUNNING]


@click.command("clean", short_help="Delete old runs; without --force only list them.")
@click.argument("experiment", required=False)
@click.option(
    "--keep",
    "-k",
    default=10,
    show_default=True,
    type=click.IntRange(0),
    help="Number of newest runs to keep in each experiment.",
)
@click.option(
    "--status",
    "-s",
    multiple=True,
    type=click.Choice(_ENDED, case_sensitive=False),
    help="Delete only runs with this status; repeatable.",
)
@click.option("--older-than", help="Delete only runs that began before: 30d (ago), 2026-01-31.")
@click.option("--all-files", is_flag=True, help="Also delete files that expman did not write.")
@click.option("--force", is_flag=True, help="Delete the runs instead of listing them.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@base_dir_option
def command(
    experiment: str | None,
    keep: int,
    status: tuple[str, ...],
    older_than: str | None,
    all_files: bool,
    force: bool,
    as_json: bool,
    base_dir: str,
) -> None:
    """Deletes all but the newest runs of EXPERIMENT, or of each experiment.

    Runs that are RUNNING are never deleted, and do not count as kept. Runs behind a symbolic
    link, and runs with files that expman did not write, are kept and named.
    """
    before = None if older_than is None else parse_since(older_than)
    wanted = {RunStatus.parse(one) for one in status} or set(_ENDED)
    if experiment is not None:
        check_experiment(experiment, base_dir)
    doomed = []
    seen: dict[str, int] = {}
    for run in find.runs(base_dir, experiment):
        reason = why_kept(run, all_files=all_files)
        if reason is not None:
            if reason != RUNNING:
                print_note(f"kept: {run._place} {reason}")
            continue
        seen[run.experiment] = seen.get(run.experiment, 0) + 1
        if seen[run.experiment] > keep and run.status in wanted and _is_older(run, before):
            doomed.append(run)
    sizes = {run.path: size_bytes(run) for run in doomed}
    if force:
        remove_leftovers(base_dir)
    failed = _delete(doomed, all_files) if force else set()
    doomed = [run for run in doomed if run.path not in failed]
    if as_json:
        lines = [{"path": run.path, "bytes": sizes[run.path], "deleted": force} for run in doomed]
        print_json(lines)
        raise click.exceptions.Exit(1 if failed else 0)
    for run in doomed:
        print_line(f"{'deleted' if force else 'would delete'} {run.path}")
    total = sum(sizes[run.path] for run in doomed)
    if not doomed:
        print_note("nothing to delete")
    elif not force:
        print_note(f"{count_runs(len(doomed))}, {format_size(total)}; delete them with --force")
    if failed:
        raise click.exceptions.Exit(1)


def _delete(runs: list[Run], all_files: bool) -> set[str]:
    """Deletes runs; returns the paths of those that could not be deleted."""
    failed = set()
    for run in runs:
        try:
            delete(run, all_files=all_files)
        except NotDeletedError as exc:
            print_note(str(exc))
            failed.add(run.path)
    return failed


def _is_older(run: Run, before: datetime.datetime | None) -> bool:
    return before is None or (run.started_at is not None and run.started_at < before)
