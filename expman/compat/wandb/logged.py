"""Sorts what `log` is given: numbers and text make a row, the rest are media."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from expman.compat.wandb.attribute_mapping import flattened
from expman.compat.wandb.data_types import Image, Loggable, NumberHistogram, Plotly, Plotted
from expman.compat.wandb.table import Table
from expman.integrations.tensors import array_of, number_of

__all__ = ["Logged", "sort_values"]

MOST_LISTED = 32
"""So many numbers of an array are kept as text; more of them become a histogram."""


class Logged(NamedTuple):
    """What one call of `log` has.

    Attributes:
        row: numbers and text by name.
        media: the rest, each with its tag.
        left_out: names of values that are nothing of the kind.
    """

    row: dict[str, Any]
    media: list[tuple[str, Loggable]]
    left_out: list[str]


def sort_values(values: Mapping[str, Any]) -> Logged:
    """Sorts values; `/` joins the names of nested ones."""
    found = Logged({}, [], [])
    for name, value in flattened(values):
        if isinstance(value, int | float | str):
            found.row[name] = value
        elif value is not None:
            _sort(found, name, value)
    return found


def _sort(found: Logged, name: str, value: Any) -> None:
    if isinstance(value, list | tuple) and any(isinstance(one, Loggable) for one in value):
        media = [one for one in value if isinstance(one, Loggable)]
        several = len(media) > 1
        found.media.extend(
            (f"{name}/{number}" if several else name, one) for number, one in enumerate(media)
        )
        return
    try:
        medium = _medium(value)
        if medium is not None:
            found.media.append((name, medium))
        else:
            found.row[name] = _number_or_text(value)
    except (TypeError, ValueError, RuntimeError):  # RuntimeError: of a tensor that cannot be read
        found.left_out.append(name)


def _medium(value: Any) -> Loggable | None:
    if isinstance(value, Loggable):
        return value
    if callable(getattr(value, "savefig", None)) or callable(getattr(value, "gcf", None)):
        return Plotted(value)
    if callable(getattr(value, "to_plotly_json", None)):  # plotly
        return Plotly(value)
    if callable(getattr(value, "convert", None)) and hasattr(value, "mode"):  # Pillow
        return Image(value)
    if hasattr(value, "columns") and callable(getattr(value, "to_numpy", None)):  # pandas
        return Table(dataframe=value)
    if hasattr(value, "shape") and _size(value) > MOST_LISTED:
        return NumberHistogram(value)
    return None


def _size(value: Any) -> int:
    size = 1
    for length in value.shape:
        size *= int(length)
    return size


def _number_or_text(value: Any) -> Any:
    if hasattr(value, "shape"):
        if _size(value) == 1:
            return number_of(value)
        value = array_of(value).tolist()
    elif callable(getattr(value, "item", None)) or callable(getattr(value, "__float__", None)):
        return float(value)
    return msgspec.json.encode(value).decode()
