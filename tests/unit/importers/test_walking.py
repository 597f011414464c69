"""Walking through directories of others."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from expman.importers.walking import walk


def test_links_are_followed_once(tmp_path: Path) -> None:
    """A directory has its own name; loops end; a link out of the directory is followed."""
    (tmp_path / "in" / "b" / "c").mkdir(parents=True)
    (tmp_path / "out" / "d").mkdir(parents=True)
    (tmp_path / "in" / "a").symlink_to("b")
    (tmp_path / "in" / "b" / "up").symlink_to("..")
    (tmp_path / "in" / "out").symlink_to(tmp_path / "out")
    (tmp_path / "in" / "gone").symlink_to("nothing")
    walked = walk(str(tmp_path / "in"), Counter())
    found = [os.path.relpath(folder, tmp_path / "in") for folder, _, _ in walked]
    assert [".", "b", "b/c", "out", "out/d"] == found


def test_what_cannot_be_read_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for root, who may read everything."""
    (tmp_path / "a").mkdir()
    scan = os.scandir

    def refuse(path: Any) -> Iterator[Any]:
        if str(path).endswith("a"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    left_out: Counter[str] = Counter()
    list(walk(str(tmp_path), left_out))
    assert {f"directory that cannot be read: {tmp_path}/a": 1} == left_out
