"""Shows a run again and again while it goes on."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from expman.reading.runyaml import has_ended

__all__ = ["View", "watch"]


class View(Protocol):
    """A run that notebooks and rich can show."""

    path: str

    def _repr_html_(self) -> str: ...
    def __rich__(self) -> object: ...


def watch(run: View, *, every_s: float, timeout_s: float | None) -> None:
    """See Run.watch. An interrupt (the notebook's stop button, Ctrl-C) ends the view."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    with contextlib.suppress(KeyboardInterrupt), _view() as show:
        while True:
            ended = has_ended(run.path)
            show(run)
            if ended or (deadline is not None and time.monotonic() >= deadline):
                return
            time.sleep(every_s)


@contextlib.contextmanager
def _view() -> Iterator[Callable[[View], None]]:
    ipython: Any = sys.modules.get("IPython")
    if ipython is not None and ipython.get_ipython() is not None:
        from IPython.display import HTML, display

        handle = display(HTML(""), display_id=True)
        yield lambda run: handle.update(HTML(run._repr_html_()))
        return
    from rich.live import Live

    with Live(auto_refresh=False) as live:
        yield lambda run: live.update(run.__rich__(), refresh=True)  # type: ignore[arg-type]
