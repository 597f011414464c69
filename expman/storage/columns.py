"""Assigns the values of metrics to columns, each of one kind.

A metric has at most two columns: one for numbers, one for text. The kind seen first takes the
metric's own name, the other one `<name>__text` or `<name>__num`, or the next free name if a
metric is called just that. The column of numbers only widens: bool, int64, float64. (A boolean
becomes 1 or 0 when its column is widened.)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import IntEnum

import pyarrow as pa

from expman.errors import StorageError
from expman.fixed_columns import FIXED_COLUMNS, layout_version
from expman.models import safe_text

__all__ = [
    "COLUMNS_KEY",
    "EXACT_INT",
    "FIXED",
    "LAYOUT_KEY",
    "LAYOUT_VERSION",
    "PRODUCER_COLUMNS",
    "ROW_FIELDS",
    "Columns",
    "Kind",
    "Warn",
    "absent",
    "check_layout",
    "columns_metadata",
]

COLUMNS_KEY = b"expman.columns"
LAYOUT_KEY = b"expman.layout"
EXACT_INT = 2**53
"""Beyond it not every integer is a float64."""

_ARROW_OF = {
    "int64": pa.int64(),
    "string": pa.string(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}
FIXED: dict[str, pa.DataType] = {column.name: _ARROW_OF[column.kind] for column in FIXED_COLUMNS}
"""The type of each fixed column."""
ROW_FIELDS: tuple[pa.Field, ...] = tuple(
    pa.field(column.name, FIXED[column.name]) for column in FIXED_COLUMNS if column.of is None
)
"""The fixed columns that every file has."""
PRODUCER_COLUMNS = tuple(column.name for column in FIXED_COLUMNS if column.of is not None)
"""The fixed columns that a file has if one of its producers has a value."""
_DEFAULTS = {c.name: c.default for c in FIXED_COLUMNS if c.default is not None}
LAYOUT_VERSION = layout_version()

Warn = Callable[[str, str], None]
"""Takes the subject (one warning each) and the message."""


class Kind(IntEnum):
    """Kind of a column; the order of the numeric ones is that of widening."""

    BOOL = 0
    INT = 1
    FLOAT = 2
    TEXT = 3

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type of a column of this kind."""
        return _ARROW[self]

    @classmethod
    def of_type(cls, arrow_type: pa.DataType) -> Kind | None:
        """The kind of a column read back; None if none of ours has that type."""
        return _KINDS.get(arrow_type)


_ARROW = {
    Kind.BOOL: pa.bool_(),
    Kind.INT: pa.int64(),
    Kind.FLOAT: pa.float64(),
    Kind.TEXT: pa.string(),
}
_KINDS = {arrow_type: kind for kind, arrow_type in _ARROW.items()}


class Columns:
    """The columns of one run, in order of first appearance.

    Attributes:
        kinds: column name to kind.
        metric_of: column name to metric, for every column.
        of_producers: the fixed columns that are there because a producer has a value.
    """

    def __init__(self) -> None:
        self.kinds: dict[str, Kind] = {}
        self.metric_of: dict[str, str] = {}
        self.of_producers: set[str] = set()
        self._numeric: dict[str, str] = {}
        self._text: dict[str, str] = {}
        self._number: dict[str, int] = {}

    def place(self, metric: str, kind: Kind) -> str:
        """The column for values of `kind`; creates or widens it as needed."""
        mine, other = (
            (self._text, self._numeric) if kind is Kind.TEXT else (self._numeric, self._text)
        )
        name = mine.get(metric)
        if name is None:
            suffix = "" if metric not in other else "__text" if kind is Kind.TEXT else "__num"
            name = self._free_name(safe_text(metric) + suffix)
            mine[metric] = name
            self.metric_of[name] = metric
            self.kinds[name] = kind
            self._number[name] = len(self._number)
        elif kind > self.kinds[name]:
            self.kinds[name] = kind
        return name

    def adopt(self, schema: pa.Schema) -> bool:
        """Takes over the columns of a file of this run; False if they cannot be ours."""
        metrics = columns_metadata(schema.metadata)
        if any(schema.get_field_index(field.name) < 0 for field in ROW_FIELDS):
            return False
        found: list[tuple[str, Kind, str]] = []
        of_producers = set()
        for field in schema:
            if field.name in FIXED:
                if field.type != FIXED[field.name]:
                    return False
                if field.name in PRODUCER_COLUMNS:
                    of_producers.add(field.name)
                continue
            kind = Kind.of_type(field.type)
            known = self.kinds.get(field.name)
            if kind is None or (known is not None and (known is Kind.TEXT) != (kind is Kind.TEXT)):
                return False
            found.append((field.name, kind, metrics.get(field.name, field.name)))
        self.of_producers |= of_producers
        for name, kind, metric in found:
            self.kinds[name] = max(kind, self.kinds.get(name, kind))
            self._number.setdefault(name, len(self._number))
            self.metric_of[name] = metric
            (self._text if kind is Kind.TEXT else self._numeric)[metric] = name
        return True

    def schema(self, names: Mapping[str, object] | None = None) -> pa.Schema:
        """The Arrow schema of all columns, or of those in `names` (in the run's order)."""
        kinds = self.kinds
        chosen = list(kinds)
        fixed = list(ROW_FIELDS)
        for name in PRODUCER_COLUMNS:
            if name in self.of_producers and (names is None or name in names):
                fixed.append(pa.field(name, FIXED[name]))
        if names is not None:
            chosen = sorted((n for n in names if n in kinds), key=self._number.__getitem__)
        fields = [pa.field(name, kinds[name].arrow) for name in chosen]
        metric_of = self.metric_of
        renamed = {name: metric_of[name] for name in chosen if metric_of[name] != name}
        metadata = {LAYOUT_KEY: str(LAYOUT_VERSION).encode()}
        if renamed:
            metadata[COLUMNS_KEY] = json.dumps(renamed).encode()
        return pa.schema([*fixed, *fields], metadata=metadata)

    def _free_name(self, base: str) -> str:
        name, number = base, 2
        while name in self.kinds or name in FIXED:
            name, number = f"{base}{number}", number + 1
        return name


def absent(name: str, dtype: pa.DataType, rows: int) -> pa.Array:
    """A column of rows that have no value there: null, or the default of a fixed column."""
    if name in _DEFAULTS:
        return pa.repeat(pa.scalar(_DEFAULTS[name], dtype), rows)
    return pa.nulls(rows, dtype)


def check_layout(path: str, metadata: Mapping[bytes, bytes] | None) -> None:
    """Refuses a file of a later layout version; files of earlier ones may lack columns.

    Raises:
        StorageError: naming both versions.
    """
    found = (metadata or {}).get(LAYOUT_KEY, b"1").decode(errors="replace")
    if found.isdecimal() and int(found) <= LAYOUT_VERSION:
        return
    raise StorageError(
        path,
        f"has layout version {found}, this expman reads versions up to {LAYOUT_VERSION}; "
        "use the expman version that wrote it, or a later one",
    )


def columns_metadata(metadata: Mapping[bytes, bytes] | None) -> dict[str, str]:
    """Column name to metric, for the columns that are not called as their metric."""
    try:
        found = json.loads((metadata or {}).get(COLUMNS_KEY, b"{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
