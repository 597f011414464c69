"""A view of a run that stays fresh while the run goes on."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from expman.errors import StorageError

if TYPE_CHECKING:
    from expman.reading.run import Run

__all__ = ["watch"]


def watch(run: Run, *, every_s: float, timeout_s: float | None) -> None:
    """See Run.watch. An interrupt (the notebook's stop button, Ctrl-C) ends the view."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    with contextlib.suppress(KeyboardInterrupt), _view() as show:
        while True:
            ended = not _is_live(run)
            show(run)
            if ended or (deadline is not None and time.monotonic() >= deadline):
                return
            time.sleep(every_s)


def _is_live(run: Run) -> bool:
    try:
        return run.is_live
    except StorageError:
        return True  # it has just begun: there is no run.yaml yet


@contextlib.contextmanager
def _view() -> Iterator[Callable[[Run], None]]:
    ipython: Any = sys.modules.get("IPython")
    if ipython is not None and ipython.get_ipython() is not None:
        from IPython.display import HTML, display

        handle = display(HTML(""), display_id=True)
        yield lambda run: handle.update(HTML(run._repr_html_()))
        return
    from rich.live import Live

    with Live(auto_refresh=False) as live:
        yield lambda run: live.update(run.__rich__(), refresh=True)  # type: ignore[arg-type]
