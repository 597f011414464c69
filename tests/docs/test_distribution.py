"""The distribution is expman-sidecar; the package, the commands and the directory are expman."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FOLDERS = (".ci", "docs", "expman", "scripts", "tests")

# `expman` on PyPI is another project: nothing may install it or ask for its version.
_OLD_NAME = re.compile(
    r"""pip\s+install\s+(?:-\S+\s+)*['"]?expman(?!-sidecar|-rs|\w)"""
    r"""|\bexpman\[[a-z]+\]|\bversion\(['"]expman['"]\)"""
)


def _texts() -> dict[str, str]:
    files = [ROOT / "README.md", ROOT / "pyproject.toml"]
    for folder in _FOLDERS:
        files += [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    readable = [path for path in files if path.suffix not in {".pyc", ".png", ".svg"}]
    return {str(path.relative_to(ROOT)): path.read_text("utf-8", "replace") for path in readable}


def test_installed_under_its_name() -> None:
    """The distribution's metadata are found, with the version of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert "expman-sidecar" == project["name"]
    assert project["version"] == version(project["name"])


def test_no_page_installs_the_stranger() -> None:
    """No page, message or script names the distribution `expman`."""
    texts = _texts()

    found = {name: _OLD_NAME.findall(text) for name, text in texts.items()}
    assert len(texts) > 200
    assert {} == {name: words for name, words in found.items() if words}


def test_the_old_name_would_be_found() -> None:
    """The pattern finds each of the ways in which the old name was written."""
    name = "expman"
    quoted = [f"pip install {name}", f"pip install '{name}[cli]'", f"pip install -U {name}\n"]

    for text in [*quoted, f"{name}[notebook]", f'version("{name}")']:
        assert _OLD_NAME.search(text), text
    for text in ["pip install expman-sidecar", "pip install expman-rs", "expman-sidecar[cli]"]:
        assert not _OLD_NAME.search(text), text
