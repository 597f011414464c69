"""`expman rm`: deletes runs."""

from __future__ import annotations

import sys

import click

from expman.cli.deletion import delete, size_bytes, why_kept
from expman.cli.output import say
from expman.cli.runs import base_dir_option, find_run, run_argument

__all__ = ["command"]


@click.command("rm", short_help="Delete runs.")
@run_argument("runs", nargs=-1)
@click.option("--all-files", is_flag=True, help="Also delete files that expman did not write.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@base_dir_option
def command(runs: tuple[str, ...], all_files: bool, yes: bool, base_dir: str) -> None:
    """Deletes RUNs with all their files. Asks first.

    A run is kept if it is RUNNING, if a symbolic link leads to it, if its run.yaml names another
    place, or if its directory holds files that expman did not write.
    """
    found = list(dict.fromkeys(find_run(run, base_dir) for run in runs))
    for run in found:
        reason = why_kept(run, all_files=all_files)
        if reason is not None:
            raise click.ClickException(f"{run.path} {reason}; nothing was deleted")
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("without a terminal to ask, say --yes")
        for run in found:
            say(f"{run.path}  ({size_bytes(run) / 1e6:.1f} MB)")
        click.confirm(f"delete {len(found)} run{'s' * (len(found) > 1)}?", abort=True)
    for run in found:
        delete(run, all_files=all_files)
        say(f"deleted {run.path}")
