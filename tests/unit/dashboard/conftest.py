"""Servers of the page, which end with their test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from page_client import Browser, Serve, record, signed_in

if TYPE_CHECKING:
    from expman.dashboard.serving import Page

# Without the extra `ui` none of these files can be imported.
_NEEDED = ("starlette", "uvicorn", "numpy")
collect_ignore_glob = [] if all(map(find_spec, _NEEDED)) else ["test_*.py"]


@pytest.fixture
def pages() -> Iterator[list[Page]]:
    """The servers of a test, which end with it."""
    started: list[Page] = []
    yield started
    for page in started:
        page.stop()


@pytest.fixture
def serve(pages: list[Page]) -> Serve:
    """Starts a server of a directory; gives a browser that has its cookie."""
    from expman.dashboard.serving import Page

    def start(base_dir: Path, **options: Any) -> Browser:
        page = Page(str(base_dir), port=0, **options)
        page.start()
        pages.append(page)
        return signed_in(page)

    return start


@pytest.fixture(scope="session")
def _recorded(_address: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("recorded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPMAN_WRITER", _address)
        record(directory, "one")
    return directory


@pytest.fixture
def base(tmp_path: Path, _recorded: Path, standing_writer: None) -> Path:
    """A directory with a run `exp/one`."""
    return Path(shutil.copytree(_recorded, tmp_path / "base"))
