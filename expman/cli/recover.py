"""`expman recover`: finishes runs whose processes are all gone."""

from __future__ import annotations

import os

import click

from expman.cli.output import print_line, print_note
from expman.cli.runs import base_dir_option

__all__ = ["command"]


@click.command("recover", short_help="Finish runs whose trainer and writer are gone.")
@click.argument("directory", required=False, metavar="[BASE_DIR]")
@click.option("--dry-run", "-n", is_flag=True, help="Only list what would be done.")
@click.option("--any-host", is_flag=True, help="Also finish runs of other hosts and users.")
@click.option("--discard", is_flag=True, help="Remove their shared memory; its rows are lost.")
@base_dir_option
def command(
    directory: str | None, dry_run: bool, any_host: bool, discard: bool, base_dir: str
) -> None:
    """Writes what is still in shared memory to the files and gives runs their true status.

    It leaves live runs alone. `expman-writer recover` does the same without the extra `cli`.
    """
    from expman.writer.recover import recover

    failed = False
    lines = 0
    path = directory or base_dir
    for line in recover(path, dry_run=dry_run, any_host=any_host, discard=discard):
        (print_line if line.ok else print_note)(line)
        lines += 1
        failed |= not line.ok
    if not lines and not os.path.isdir(path):
        raise click.ClickException(f"{path}: no such directory, and no shared memory of its runs")
    if not lines:
        print_note("nothing to recover")
    if failed:
        raise click.exceptions.Exit(1)
