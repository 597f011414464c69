"""What a command says when an extra is not installed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import click

__all__ = ["needs_extra"]


@contextlib.contextmanager
def needs_extra(extra: str, *modules: str) -> Iterator[None]:
    """Makes one line of the failure to import a module that an extra brings.

    Raises:
        click.ClickException: one of `modules` is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as exc:
        missing = (exc.name or "").partition(".")[0]
        if missing not in modules:
            raise
        raise click.ClickException(
            f"this command needs {missing}, which is not installed; "
            f"run: pip install 'expman-sidecar[{extra}]'"
        ) from exc
