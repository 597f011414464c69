"""`expman why`: how a run ended, or why it stands still."""

from __future__ import annotations

import click
import msgspec

from expman.cli.output import print_json, print_line
from expman.cli.runs import base_dir_option, find_run, run_argument
from expman.reading.postmortem import why
from expman.storage.postmortem import read_post_mortem

__all__ = ["command"]


@click.command("why", short_help="How a run ended, or why it stands still.")
@run_argument()
@click.option("--json", "as_json", is_flag=True, help="Print postmortem.json.")
@base_dir_option
def command(run: str, as_json: bool, base_dir: str) -> None:
    """Shows what is known about a RUN that crashed, failed or hung.

    Each fact is followed by the file of the run that it comes from.
    """
    found = find_run(run, base_dir)
    if as_json:
        print_json(msgspec.to_builtins(read_post_mortem(found.path)))
        return
    print_line(why(found).rstrip("\n"))
