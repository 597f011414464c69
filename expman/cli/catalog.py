"""`expman catalog`: makes queries over very many runs quick."""

from __future__ import annotations

import click

from expman.cli.output import console, print_line, print_note
from expman.cli.runs import base_dir_option, count_runs

__all__ = ["command"]


@click.command("catalog", short_help="Make queries over very many runs quick.")
@click.argument("directory", required=False, metavar="[BASE_DIR]")
@click.option("--anew", is_flag=True, help="Read every run, whatever the catalog has.")
@base_dir_option
def command(directory: str | None, anew: bool, base_dir: str) -> None:
    """Brings the catalog of BASE_DIR up to date: a table with one row per run, and compacted rows.

    `expman ls`, `expman.runs()` and `expman.vectors()` use it where it holds, and read all other
    runs from their directories. It may be removed at any time: BASE_DIR/.catalog. Call it as often
    as you like, also while runs go on: it reads only what is new.
    """
    from expman.catalog import build

    shows = console().is_terminal

    def progress(done: int) -> None:
        if shows:
            click.echo(f"\r{done:,} runs read", nl=False, err=True)

    report = build(directory or base_dir, anew=anew, progress=progress)
    if shows and report.read >= 100:
        click.echo("\r\033[K", nl=False, err=True)
    facts = [f"{report.read:,} read", f"{report.removed:,} changed or removed"]
    if report.live:
        facts.append(f"{report.live:,} live")
    print_line(
        f"{count_runs(report.runs)} ({', '.join(facts)}), rows of {report.compacted:,} in "
        f"{report.parts:,} files, {report.took_s:.1f} s"
    )
    if report.unreadable:
        print_note(f"{count_runs(report.unreadable)} cannot be read; expman ls names them")
