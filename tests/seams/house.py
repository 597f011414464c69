"""A copy of the package, to which a test adds what a contributor would add."""

from __future__ import annotations

import shutil
from pathlib import Path

import expman

ADDITIONS = Path(__file__).parent / "additions"
RECORDS = "transport/records.py"
SINK_TABLE = "writer/sinks/table.py"
SAMPLER_TABLE = "writer/samplers/table.py"
FIXED_COLUMNS = "fixed_columns.py"
TABLES = {RECORDS, SINK_TABLE, SAMPLER_TABLE, FIXED_COLUMNS}
"""The only files that an addition changes."""


class House:
    """The package, somewhere else; processes that find it first run it, and so do their writers."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.env = {"PYTHONPATH": str(directory)}
        self._package = directory / "expman"
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(expman.__file__).parent, self._package, ignore=ignored)

    def add(self, addition: str, where: str) -> None:
        """Adds a file."""
        assert not (self._package / where).exists()
        shutil.copyfile(ADDITIONS / addition, self._package / where)

    def extend(self, table: str, *changes: tuple[str, str]) -> None:
        """Puts new text in front of what stands in a table once."""
        assert table in TABLES
        path = self._package / table
        text = path.read_text()
        for place, added in changes:
            assert 1 == text.count(place), f"{place!r} in {table}"
            text = text.replace(place, added + place)
        path.write_text(text)
