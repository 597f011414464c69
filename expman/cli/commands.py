"""All subcommands, and how errors of any of them end."""

from __future__ import annotations

import errno
import io
import os
import sys
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
from expman.cli.output import VERSION, adapt_streams, note
from expman.errors import ExpmanError

__all__ = ["cli", "run"]

_MODULES = (ls, show, tail, plot, compare, export, imports, clean, rm, recover, doctor, notebook)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="RUN is a path, a unique beginning of a run's name, `latest`, or `EXPERIMENT/latest`. "
    "The base directory comes from --base-dir or EXPMAN_BASE_DIR.",
)
@click.version_option(VERSION, prog_name="expman")
def cli() -> None:
    """Looks at runs that expman recorded, live ones included."""


for _module in _MODULES:
    cli.add_command(_module.command)


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs the command with these arguments; returns its exit code."""
    adapt_streams()
    try:
        code = cli.main(arguments, prog_name="expman", standalone_mode=False)
        return (code if isinstance(code, int) else 0) or _flush()
    except click.exceptions.Abort:
        note("aborted")
        return 130
    except click.ClickException as exc:
        said = io.StringIO()
        exc.show(said)
        note(said.getvalue().rstrip("\n"))
        return exc.exit_code
    except KeyboardInterrupt:
        return 130
    except ExpmanError as exc:
        note(f"expman: {' '.join(str(exc).split())}")
        return 1
    except OSError as exc:
        where = f"{exc.filename}: " if exc.filename else ""
        note(f"expman: {where}{exc.strerror or exc}")
        return 1
    except ModuleNotFoundError as exc:
        note(f"expman: this needs {exc.name}, which is not installed")
        return 1


def _flush() -> int:
    """Writes what is still to be printed; returns the exit code."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as exc:
        if exc.errno != errno.EPIPE:
            note(f"expman: standard output: {exc.strerror}")
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # else Python tries again at its end
        os.close(nowhere)
        return 1
    return 0
