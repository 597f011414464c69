"""SQLite databases of others: opened for reading, and their errors made ours."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from expman.formats.damage import DamagedError
from expman.importers.walking import walk

__all__ = ["columns_of", "integer", "number", "open_database", "sqlite_files", "text"]

_SUFFIXES = (".db", ".sqlite", ".sqlite3")
_HEADER = b"SQLite format 3\0"


def sqlite_files(path: str, left_out: Counter[str]) -> list[str]:
    """A database, or those below a directory, by their names and their first bytes."""
    if os.path.isfile(path):
        return [path] if _is_database(path) else []
    found = []
    for folder, _, names in walk(path, left_out):
        paths = [os.path.join(folder, name) for name in names if name.endswith(_SUFFIXES)]
        found += [one for one in paths if _is_database(one)]
    return found


def _is_database(path: str) -> bool:
    try:
        if not os.path.isfile(path):  # a pipe would wait
            return False
        with open(path, "rb") as file:
            return file.read(len(_HEADER)) == _HEADER
    except OSError:
        return False


@contextlib.contextmanager
def open_database(path: str) -> Iterator[sqlite3.Connection]:
    """Opens a database; it is not written to.

    Raises:
        DamagedError: it is damaged, locked, or not what its tables promise; inside, too.
    """
    try:
        database = sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True)
        try:
            database.text_factory = lambda data: data.decode("utf-8", "replace")
            yield database
        finally:
            database.close()
    except (sqlite3.Error, OverflowError, UnicodeDecodeError) as exc:  # of damaged schemas
        raise DamagedError(f"{path}: {exc}") from exc


def columns_of(database: sqlite3.Connection, table: str) -> set[str]:
    """Names of a table's columns; none if there is no such table."""
    quoted = table.replace('"', '""')
    return {str(row[1]) for row in database.execute(f'PRAGMA table_info("{quoted}")')}


def text(value: object) -> str:
    """A column's value as text: SQLite lets any value be in any column."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if value is None else str(value)


def integer(value: object) -> int | None:
    """A column's value as an integer; None if it is not one."""
    if isinstance(value, int):
        return value
    try:
        return int(str(value))
    except ValueError:
        return None


def number(value: object) -> float | None:
    """A column's value as a float; None if it is not one."""
    if isinstance(value, float | int):
        return float(value)
    try:
        return float(str(value))
    except ValueError:
        return None
