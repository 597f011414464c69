"""`expman stacks`: asks the processes of a live run for their stacks."""

from __future__ import annotations

import click

from expman.cli.output import print_line, print_note
from expman.cli.runs import base_dir_option, find_run, run_argument
from expman.storage.postmortem import thread_blocks
from expman.storage.stacks import ask_for_stacks

__all__ = ["command"]


@click.command("stacks", short_help="Show the stacks of a live run.")
@run_argument()
@click.option("--all-threads", is_flag=True, help="Also the threads of expman itself.")
@base_dir_option
def command(run: str, all_threads: bool, base_dir: str) -> None:
    """Asks the processes of a live RUN on this machine for the stacks of their threads.

    It works while a process holds the GIL, and hurts none: a process is asked only if it catches
    the signal, and has the file of the run open that its stacks go to.
    """
    found = find_run(run, base_dir)
    stacks = ask_for_stacks(found.path)
    if not stacks:
        print_note(
            "no process of this run can be asked: it has ended, runs on another machine or as "
            "another user, or was started with hang_after_s=0"
        )
        raise SystemExit(1)
    for one in stacks:
        print_line(f"pid {one.pid}: {one.name}")
        if one.why_not:
            print_line(f"  {one.why_not}")
        blocks = [one.text.rstrip("\n")] if all_threads else thread_blocks(one.text)
        for block in blocks:
            print_line(block)
