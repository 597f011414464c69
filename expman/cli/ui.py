"""`expman ui`: the page."""

from __future__ import annotations

import webbrowser

import click

from expman.cli.missing import needs_extra
from expman.cli.output import print_line, print_note
from expman.cli.runs import mistakes_of

__all__ = ["command"]


@click.command("ui", short_help="Show runs in the browser.")
@click.argument("base_dir", required=False, type=click.Path())
@click.option(
    "--base-dir",
    "-d",
    "base_dir_option",
    envvar="EXPMAN_BASE_DIR",
    default="experiments",
    show_default=True,
    type=click.Path(),
    help="Directory that holds all experiments.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), help="[default: the first free one from 8642 on]"
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--allow-host",
    "allow_hosts",
    multiple=True,
    metavar="NAME",
    help="A further name that browsers may call the server by; may be repeated.",
)
@click.option("--read-only", is_flag=True, help="Nothing can be edited or deleted.")
@click.option("--open", "launch", is_flag=True, help="Open the page in the browser.")
def command(
    base_dir: str | None,
    base_dir_option: str,
    port: int | None,
    host: str,
    allow_hosts: tuple[str, ...],
    read_only: bool,
    launch: bool,
) -> None:
    """Serves a page that shows all runs below BASE_DIR, live ones included.

    The page opens at the printed address, which has a secret. Only this machine can reach it.
    Ctrl-C ends it.
    """
    chosen = base_dir or base_dir_option
    with needs_extra("ui", "starlette", "uvicorn", "numpy"):
        from expman.dashboard.serving import Page
    with mistakes_of(base_dir="base directory", host="--host", port="--port"):
        page = Page(chosen, host=host, port=port, allow_hosts=allow_hosts, read_only=read_only)
    print_line(page.address)
    for hint in page.hints():
        print_note(hint)
    if launch:
        webbrowser.open(page.address)
    page.run()
