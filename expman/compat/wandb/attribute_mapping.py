"""A mapping whose items are attributes, too: `config` and `summary` are such."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

__all__ = ["AttributeMapping", "flattened"]


class AttributeMapping(MutableMapping[str, Any]):
    """Items by name, as `mapping["lr"]` and as `mapping.lr`; changes are published.

    Args:
        publish: takes the items that have changed.
    """

    _items: dict[str, Any]
    _publish: Callable[[dict[str, Any]], None]

    def __init__(self, publish: Callable[[dict[str, Any]], None]) -> None:
        object.__setattr__(self, "_items", {})
        object.__setattr__(self, "_publish", publish)

    def __getitem__(self, key: str) -> Any:
        return self._items[str(key)]

    def __setitem__(self, key: str, value: Any) -> None:
        self._items[str(key)] = value
        self._publish({str(key): value})

    def __delitem__(self, key: str) -> None:
        del self._items[str(key)]

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._items))

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: object) -> bool:
        return str(key) in self._items

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_"):
            with contextlib.suppress(KeyError):
                return self[name]
        raise AttributeError(f"{type(self).__name__} has no item {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        del self[name]

    def as_dict(self) -> dict[str, Any]:
        """A copy."""
        return dict(self._items)

    def __repr__(self) -> str:
        return repr(self._items)


def flattened(values: Any, head: str = "") -> Iterator[tuple[str, Any]]:
    """The items of nested mappings; `/` joins the names of the levels."""
    for key, value in values.items():
        is_table = hasattr(value, "shape") or hasattr(value, "columns")  # a DataFrame has items
        if callable(getattr(value, "items", None)) and not is_table:
            yield from flattened(value, f"{head}{key}/")
        else:
            yield f"{head}{key}", value
