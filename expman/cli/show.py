"""`expman show`: shows one run."""

from __future__ import annotations

import dataclasses
import os
import shlex

import click

from expman.cli.output import console, print_json, print_note, run_record
from expman.cli.producers import print_producers
from expman.cli.runs import base_dir_option, find_run, run_argument
from expman.reading.job_producers import job_producers
from expman.reading.peek import lanes_of
from expman.reading.rich_cells import cell, indented
from expman.reading.run import Run
from expman.reading.text import visible
from expman.storage.paths import ARTIFACTS, POST_MORTEM_JSON

__all__ = ["command"]

_LAST_LINES = 5
_LONGEST = 160
_FIRST_ARTIFACTS = 20


@click.command("show", short_help="Show one run.")
@run_argument()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--watch", "-w", is_flag=True, help="Refresh the view until the run ends.")
@base_dir_option
def command(run: str, as_json: bool, watch: bool, base_dir: str) -> None:
    """Shows the status, latest values, parameters and artifacts of RUN."""
    found = find_run(run, base_dir)
    if as_json:
        artifacts = [_below(found._place, path) for path in found.artifacts()]
        print_json(
            {
                **run_record(found),
                "config": found.config,
                "metrics": found.metrics,
                "artifacts": artifacts,
                "artifacts_missing": found.metadata.artifacts_missing,
                "producers": [dataclasses.asdict(one) for one in job_producers(found)],
            }
        )
        return
    if watch:
        found.watch()
        return
    console().print(found)
    _print_stall(found)
    print_producers(found)
    _show_artifacts(found)
    if printed := found.console(last=_LAST_LINES):
        console().print("printed last", style="italic")
        for line in printed:
            who = "" if line.producer == "main" else f"[{line.producer}] "
            text = who + _printed(line.text)
            console().print(indented(cell(text)) if text else "")
    if os.path.exists(os.path.join(found.path, POST_MORTEM_JSON)):
        print_note(f"how it ended: expman why {shlex.quote(found._place)}")
    if "://" in found._place:
        return  # whether its processes live is not to be seen from here
    if found.is_live and not lanes_of(found.path):
        print_note(
            "the run is RUNNING, but no process on this machine logs into it: it runs on another "
            f"machine, or it was killed. A killed run is finished by: expman recover {base_dir}"
        )


def _printed(text: str) -> str:
    """A line as it was printed, with its columns; cut and marked if it is long."""
    shown = visible(text[: 2 * _LONGEST].expandtabs().rstrip())
    if len(text) <= 2 * _LONGEST and len(shown) <= _LONGEST:
        return shown
    return f"{shown[:_LONGEST]}… ({len(text):,} characters)"


def _show_artifacts(run: Run) -> None:
    """Shows the first artifacts and how many there are."""
    artifacts = run.artifacts()
    if not artifacts:
        return
    console().print("artifacts", style="italic")
    above = f"{run._place}/{ARTIFACTS}"
    for path in artifacts[:_FIRST_ARTIFACTS]:
        console().print(indented(cell(_below(above, path))))
    if len(artifacts) > _FIRST_ARTIFACTS:
        left = len(artifacts) - _FIRST_ARTIFACTS
        more = cell(f"… and {left:,} more; all of them with --json", "dim")
        console().print(indented(more))


def _below(above: str, path: str) -> str:
    """What remains of a path, or of a URL, below another one."""
    return path.removeprefix(f"{above}/") if "://" in path else os.path.relpath(path, above)


def _print_stall(run: Run) -> None:
    """Names the producers of a live run that have logged nothing for long."""
    meta = run.metadata
    if not run.is_live or not meta.stalled_since:
        return
    console().print("no rows for long", style="italic")
    for sentence in meta.stalled:
        console().print(indented(cell(sentence)))
