"""docs/contributing.md sends its readers to files and names that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
_ROW = re.compile(r"^\| (.+?) \| (.+?) \| (.*?) \|$", re.MULTILINE)
_CODE = re.compile(r"`([^`]+)`")


def _rows() -> list[tuple[str, str, str]]:
    table = PAGE.partition("## I want to")[2].partition("\n## ")[0]
    found = _ROW.findall(table)[1:]  # the head; the line below it has no blanks
    return [row for row in found if "---" not in row[0]]


def _find(name: str) -> Path | None:
    """A file or folder of the package or of the project."""
    found = [place / name for place in (ROOT / "expman", ROOT) if (place / name).exists()]
    return found[0] if found else None


@pytest.mark.parametrize("row", _rows(), ids=lambda row: row[0])
def test_files_and_names_of_a_row_exist(row: tuple[str, str, str]) -> None:
    """Each file of a row is there; each other name stands in one of the files to be changed."""
    wish, change, _ = row
    quoted = [name for cell in row[1:] for name in _CODE.findall(cell)]
    files = [name for name in quoted if "/" in name or name.endswith(".py")]
    assert [] == [name for name in files if _find(name) is None], wish

    paths = [_find(name) for name in _CODE.findall(change) if name in files]
    texts = [path.read_text() for path in paths if path is not None and path.is_file()]
    names = [name for name in _CODE.findall(change) if re.fullmatch(r"[A-Za-z_]{3,}", name)]
    stands = [any(re.search(rf"\b{name}\b", text) for text in texts) for name in names]
    assert [True] * len(names) == stands, (wish, names)


def test_the_table_has_what_is_asked_for() -> None:
    """As many rows as there are things that newcomers wanted to change, and more."""
    assert 12 < len(_rows())
