"""`expman rm`: deletes runs."""

from __future__ import annotations

import sys

import click

from expman.cli.output import print_line
from expman.cli.runs import base_dir_option, count_runs, find_run, run_argument
from expman.deletion import delete, size_bytes, why_kept
from expman.reading.formats import format_size

__all__ = ["command"]


@click.command("rm", short_help="Delete runs.")
@run_argument("runs", nargs=-1)
@click.option("--all-files", is_flag=True, help="Also delete files that expman did not write.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
@base_dir_option
def command(runs: tuple[str, ...], all_files: bool, yes: bool, base_dir: str) -> None:
    """Deletes RUNs with all their files, after asking.

    A run is kept if it is RUNNING, if a symbolic link leads to it, if its run.yaml names another
    place, or if its directory holds files that expman did not write.
    """
    found = list(dict.fromkeys(find_run(run, base_dir) for run in runs))
    for run in found:
        reason = why_kept(run, all_files=all_files)
        if reason is not None:
            raise click.ClickException(f"{run._place} {reason}; nothing was deleted")
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("cannot ask without a terminal; confirm with --yes")
        for run in found:
            print_line(f"{run.path}  ({format_size(size_bytes(run))})")
        click.confirm(f"delete {count_runs(len(found))}?", abort=True)
    for run in found:
        delete(run, all_files=all_files)
        print_line(f"deleted {run.path}")
