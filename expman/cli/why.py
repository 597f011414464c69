"""`expman why`: how a run ended, or where it stands."""

from __future__ import annotations

import click
import msgspec

from expman.cli.output import print_json, print_line
from expman.cli.runs import base_dir_option, find_run, mistakes_of, run_argument
from expman.reading.postmortem import find_out, why

__all__ = ["command"]


@click.command("why", short_help="How a run ended, or where it stands.")
@run_argument()
@click.option(
    "--attempt",
    metavar="N",
    type=click.IntRange(1),
    help="An earlier attempt of a run that went on.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@base_dir_option
def command(run: str, attempt: int | None, as_json: bool, base_dir: str) -> None:
    """Shows what is known about a RUN that crashed, failed, hung or lost a process.

    Of a live run it shows who is behind or stands still, and since when. Each fact is followed by
    the file of the run that it comes from.
    """
    found = find_run(run, base_dir)
    with mistakes_of(attempt="--attempt"):
        if as_json:
            print_json(msgspec.to_builtins(find_out(found, attempt)))
            return
        print_line(why(found, attempt).rstrip("\n"))
