"""docs/reliability.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_QUOTED = re.compile(r"`((?:[\w/]+\.py)?(?:::\w+)?)`")


def _named_tests() -> list[tuple[str, str]]:
    """File and function of each test that a row names; a bare `::test` is in the file before it."""
    found: list[tuple[str, str]] = []
    for line in (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8").splitlines():
        file = ""
        for name in filter(None, _QUOTED.findall(line)):
            path, _, function = name.partition("::")
            if path.startswith("expman"):
                continue
            file = path or file
            found.append((file, function))
    return found


def _find(file: str) -> list[Path]:
    return [ROOT / file] if "/" in file else list((ROOT / "tests").rglob(file or "-"))


def test_every_test_that_is_named_exists() -> None:
    """Each `path::test` is a function of that file; a file without its path has a unique name."""
    named = _named_tests()
    assert len(named) > 100
    wrong = []
    for file, function in named:
        paths = [path for path in _find(file) if path.is_file()]
        text = paths[0].read_text(encoding="utf-8") if len(paths) == 1 else ""
        if not text or (function and f"def {function}(" not in text):
            wrong.append(f"{file}::{function}")
    assert [] == wrong
