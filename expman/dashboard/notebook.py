"""`expman.ui()`: the page in a notebook."""

from __future__ import annotations

import html
import os
from typing import TYPE_CHECKING

from expman.settings import BASE_DIR, resolve

if TYPE_CHECKING:
    from expman.dashboard.serving import Page

__all__ = ["NotebookPage", "ui"]

_running: dict[tuple[str, bool], Page] = {}
_NEEDED = ("starlette", "uvicorn", "numpy")


class NotebookPage:
    """The page as a notebook shows it. Its server ends with the kernel, or with `stop()`.

    Attributes:
        address: opens the page in a browser of its own.
    """

    def __init__(self, page: Page, source: str, height: int) -> None:
        self.address = page.address
        self._page = page
        self._source = source
        self._height = height

    def stop(self) -> None:
        """Ends the server."""
        for key, page in list(_running.items()):
            if page is self._page:
                del _running[key]
        self._page.stop()

    def _repr_html_(self) -> str:
        source = html.escape(self._source, quote=True)
        return (
            f'<iframe src="{source}" width="100%" height="{self._height}" '
            'style="border: 0" referrerpolicy="no-referrer"></iframe>'
        )

    def __repr__(self) -> str:
        return f"<expman page at {self.address}>"


def ui(
    base_dir: str | os.PathLike[str] | None = None,
    *,
    height: int = 800,
    read_only: bool = False,
    proxy: bool | str | None = None,
) -> NotebookPage:
    """Shows all runs in a frame of the notebook, live ones included.

    The first call starts a server in this process; further ones show it again.

    Args:
        base_dir: directory that holds all experiments; that of `EXPMAN_BASE_DIR`, or
            `experiments`, if left out.
        height: of the frame, in pixels.
        read_only: nothing can be edited or deleted.
        proxy: the browser reaches the server through jupyter-server-proxy: True, or the part of
            the address before `/proxy`, such as `/user/me`. None: exactly on a JupyterHub.

    Returns:
        What the notebook shows as the last value of a cell.

    Raises:
        ConfigError: the directory does not exist, or no port is free.
        ModuleNotFoundError: the extra `ui` is not installed.
    """
    try:
        from expman.dashboard.serving import Page
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in _NEEDED:
            raise
        raise ModuleNotFoundError(
            f"expman.ui() needs {exc.name}: pip install 'expman-sidecar[ui]'", name=exc.name
        ) from None
    chosen = resolve("base_dir", BASE_DIR if base_dir is None else os.fspath(base_dir))
    key = (os.path.abspath(chosen), read_only)
    page = _running.get(key)
    if page is None:
        page = Page(chosen, read_only=read_only)
        page.start()
        _running[key] = page
    return NotebookPage(page, _source(page, proxy), height)


def _source(page: Page, proxy: bool | str | None) -> str:
    """Returns the address of the frame."""
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    if proxy is None:
        proxy = prefix is not None
    if not proxy:
        return page.frame_address
    before = proxy if isinstance(proxy, str) else prefix or "/"
    return f"{before.rstrip('/')}/proxy/{page.port}{page.frame_path}"
