"""The subcommands, and how an error of any of them becomes a message and an exit code."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from expman.cli.output import adapt_streams, print_note
from expman.errors import ExpmanError
from expman.suggestions import did_you_mean

__all__ = ["cli", "commands", "run"]

_NAMES = (
    *("ui", "report", "ls", "show", "why", "tail", "top", "stacks", "plot", "compare", "sql"),
    *("export", "import", "clean", "rm", "recover", "doctor", "catalog", "mirror", "sweep"),
    "notebook",
)
_PARTS = frozenset({"click", "matplotlib", "plotext", "rich"})


class _Group(click.Group):
    """Imports the module of a subcommand when it is called: a call needs one of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_NAMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _command(cmd_name) if cmd_name in _NAMES else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _NAMES and not args[0].startswith("-"):
            hint = did_you_mean([args[0]], _NAMES) or f"; commands: {', '.join(_NAMES)}"
            ctx.fail(f"No such command {args[0]!r}{hint}")
        return super().resolve_command(ctx, args)


def _command(name: str) -> click.Command:
    module = import_module(f"expman.cli.{'imports' if name == 'import' else name}")
    command: click.Command = module.command
    return command


def commands() -> dict[str, click.Command]:
    """Returns every subcommand by its name."""
    return {name: _command(name) for name in _NAMES}


def _print_version(ctx: click.Context, _: click.Parameter, is_wanted: bool) -> None:
    if is_wanted:
        from expman.version import VERSION  # takes as long as a list of 2,000 runs

        click.echo(f"expman, version {VERSION}")
        ctx.exit()


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="RUN is a path, a unique beginning of a run's name, `latest`, `EXPERIMENT/latest`, or "
    "the URL of a run in a store. The base directory is set by --base-dir or EXPMAN_BASE_DIR, "
    "and may be the URL of a copy of it.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Shows and manages runs that expman recorded, live ones included."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs the command with these arguments; returns its exit code."""
    adapt_streams()
    try:
        code = cli.main(arguments, prog_name="expman", standalone_mode=False)
        return (code if isinstance(code, int) else 0) or _flush()
    except click.exceptions.Abort:
        print_note("aborted")
        return 130
    except click.ClickException as exc:
        message = io.StringIO()
        exc.show(message)
        print_note(message.getvalue().rstrip("\n"))
        return exc.exit_code
    except KeyboardInterrupt:
        return 130
    except ExpmanError as exc:
        print_note(f"expman: {' '.join(str(exc).split())}")
        return 1
    except OSError as exc:
        where = f"{exc.filename}: " if exc.filename else ""
        print_note(f"expman: {where}{exc.strerror or exc}")
        return 1
    except ModuleNotFoundError as exc:
        name = (exc.name or "").partition(".")[0]
        what = "'expman-sidecar[cli]'" if name in _PARTS else name
        print_note(f"expman: this needs {name}, which is not installed; run: pip install {what}")
        return 1


def _flush() -> int:
    """Flushes standard output; returns the exit code."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as exc:
        if exc.errno != errno.EPIPE:
            print_note(f"expman: cannot write to standard output: {exc.strerror}")
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # else Python tries again at its end
        os.close(nowhere)
        return 1
    return 0
