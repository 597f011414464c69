"""All subcommands, and how errors of any of them end."""

from __future__ import annotations

from collections.abc import Sequence

import click

from expman.cli import (
    clean,
    compare,
    doctor,
    export,
    imports,
    ls,
    notebook,
    plot,
    recover,
    rm,
    show,
    tail,
)
from expman.cli.output import VERSION
from expman.errors import ExpmanError

__all__ = ["cli", "run"]

_MODULES = (ls, show, tail, plot, compare, export, imports, clean, rm, recover, doctor, notebook)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="RUN is a path, a unique beginning of a run's name, or `latest`. "
    "The base directory comes from --base-dir or EXPMAN_BASE_DIR.",
)
@click.version_option(VERSION, prog_name="expman")
def cli() -> None:
    """Looks at runs that expman recorded, live ones included."""


for _module in _MODULES:
    cli.add_command(_module.command)


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs the command with these arguments; returns its exit code."""
    try:
        code = cli.main(arguments, prog_name="expman", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Abort:
        click.echo("aborted", err=True)
        return 130
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except KeyboardInterrupt:
        return 130
    except ExpmanError as exc:
        click.echo(f"expman: {' '.join(str(exc).split())}", err=True)
        return 1
    except ModuleNotFoundError as exc:
        click.echo(f"expman: this needs {exc.name}, which is not installed", err=True)
        return 1
