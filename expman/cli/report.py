"""`expman report`: one HTML file that shows runs anywhere."""

from __future__ import annotations

import os

import click

from expman.cli.missing import needs_extra
from expman.cli.output import print_line
from expman.cli.runs import base_dir_option, count_runs, find_run, run_argument
from expman.reading import find
from expman.reading.directories import experiments
from expman.reading.formats import format_size
from expman.reading.run import Run

__all__ = ["command"]

MEGABYTE = 1_000_000


@click.command("report", short_help="Write runs to one HTML file.")
@run_argument("runs", nargs=-1)
@click.option(
    "--output",
    "-o",
    default="report.html",
    show_default=True,
    type=click.Path(dir_okay=False),
    help="The file.",
)
@click.option(
    "--points",
    type=click.IntRange(4, 100_000),
    help="Points of each curve.  [default: as many as keep the file small]",
)
@click.option(
    "--media-mb",
    default=10,
    show_default=True,
    type=click.IntRange(0, 1000),
    help="Include pictures and the like up to so many MB in all.",
)
@base_dir_option
def command(
    runs: tuple[str, ...], output: str, points: int | None, media_mb: int, base_dir: str
) -> None:
    """Writes RUNs to one HTML file that opens anywhere, without a network.

    RUN may also be an experiment, which means all its runs. Curves keep every spike and NaN.
    """
    with needs_extra("ui", "starlette", "numpy"):
        from expman.dashboard.report import make_report
    found = list(dict.fromkeys(run for text in runs for run in _runs_of(text, base_dir)))
    page = make_report([run.path for run in found], points=points, media_bytes=media_mb * MEGABYTE)
    temp = f"{output}.tmp-{os.getpid()}"
    try:
        with open(temp, "wb") as file:
            file.write(page)
        os.replace(temp, output)
    except OSError as exc:
        raise click.ClickException(f"cannot write {output}: {exc.strerror}") from exc
    print_line(f"{output}  ({count_runs(len(found))}, {format_size(len(page))})")


def _runs_of(text: str, base_dir: str) -> list[Run]:
    if os.path.isdir(base_dir) and text in experiments(base_dir):
        return list(find.runs(base_dir, text))
    return [find_run(text, base_dir)]
