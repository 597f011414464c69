"""`expman catalog`: makes queries over very many runs quick."""

from __future__ import annotations

import os

import click

from expman.cli.missing import needs_extra
from expman.cli.output import console, print_line, print_note
from expman.cli.runs import base_dir_option, count_runs
from expman.job_map import JobMap, in_this_process
from expman.shown import count_of

__all__ = ["command"]


@click.command("catalog", short_help="Make queries over very many runs quick.")
@click.argument("directory", required=False, metavar="[BASE_DIR]")
@click.option("--anew", is_flag=True, help="Read every run, whatever the catalog has.")
@click.option("--on", "where", type=click.Choice(["ray"]), help="Give the work to Ray.")
@base_dir_option
def command(directory: str | None, anew: bool, where: str | None, base_dir: str) -> None:
    """Brings the catalog of BASE_DIR up to date: a table with one row per run, and compacted rows.

    `expman ls`, `expman.runs()` and `expman.vectors()` use it where it holds, and read all other
    runs from their directories. It may be removed at any time: BASE_DIR/.catalog. Call it as often
    as you like, also while runs go on: it reads only what is new.
    """
    from expman.catalog import build
    from expman.catalog.compaction import LEAST_RUNS

    shows = console().is_terminal

    def progress(done: int) -> None:
        if shows:
            click.echo(f"\r{done:,} runs read", nl=False, err=True)

    path = directory or base_dir
    jobs: JobMap = in_this_process
    if where is not None:
        with needs_extra("ray", "ray"):
            from expman.scale.ray import job_map

            jobs = job_map()
        path = os.path.abspath(path)  # on each host
    report = build(path, anew=anew, progress=progress, job_map=jobs)
    if shows and report.read >= 100:
        click.echo("\r\033[K", nl=False, err=True)
    facts = [f"{report.read:,} read", f"{report.removed:,} changed or removed"]
    if report.live:
        facts.append(f"{report.live:,} live")
    line = f"{count_runs(report.runs)} ({', '.join(facts)})"
    if report.parts:
        files = count_of(report.parts, "file")
        line += f", rows of {count_runs(report.compacted)} in {files}"
    print_line(f"{line}, {report.took_s:.1f} s")
    if report.runs and not report.parts:
        print_line(
            "There is nothing to compact yet, and that is fine: rows are put together for "
            f"{LEAST_RUNS} or more runs of an experiment with the same columns."
        )
    if report.unreadable:
        print_note(f"{count_runs(report.unreadable)} cannot be read; expman ls names them")
