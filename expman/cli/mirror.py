"""`expman mirror`: copies runs to an object store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from expman.cli.output import print_line, print_note
from expman.cli.runs import count_runs
from expman.errors import StorageError
from expman.shown import count_of

if TYPE_CHECKING:
    from expman.catalog import MirrorReport

__all__ = ["command"]

_MEGA = 1_000_000
_NAMED = 20


@click.command("mirror", short_help="Copy runs to an object store.")
@click.argument("base_dir", type=click.Path())
@click.argument("url")
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(1),
    metavar="SECONDS",
    help="Go on, and copy what is new so often; end it with Ctrl-C.",
)
@click.option(
    "--bandwidth",
    type=click.FloatRange(0, min_open=True),
    metavar="MB/S",
    help="Send at most so many megabytes per second.",
)
def command(base_dir: str, url: str, every_s: float | None, bandwidth: float | None) -> None:
    """Copies what is new or has changed in the runs of BASE_DIR to URL, live runs included.

    URL is s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://… or file:///PATH. The store has the same
    files under the same names; `expman.runs(URL)` reads them there. It may be killed at any point:
    the next call copies the rest.
    """
    from expman.catalog import mirror
    from expman.storage.object_store import ObjectStore

    store = ObjectStore(url, bandwidth=None if bandwidth is None else bandwidth * _MEGA)
    while True:
        started = time.monotonic()
        try:
            report = mirror(base_dir, url, store=store)
        except StorageError as exc:
            if every_s is None:
                raise
            print_note(f"nothing could be copied now: {' '.join(str(exc).split())}")
        else:
            _print_report(report, is_quiet=every_s is not None and not report.files)
        if every_s is None:
            raise click.exceptions.Exit(1 if report.failed else 0)
        time.sleep(max(0.0, started + every_s - time.monotonic()))


def _print_report(report: MirrorReport, *, is_quiet: bool) -> None:
    for path, error in report.failed[:_NAMED]:
        print_note(f"cannot copy {path}: {' '.join(str(error).split())}")
    if len(report.failed) > _NAMED:
        print_note(f"… and {len(report.failed) - _NAMED} more")
    if not is_quiet or report.failed:
        behind = report.runs - report.whole
        rest = f"; {behind:,} not whole yet" if behind else ""
        print_line(
            f"{count_runs(report.runs)}: {count_of(report.files, 'file')} copied, "
            f"{report.bytes / _MEGA:.1f} MB{rest}"
        )
