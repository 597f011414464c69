"""`run.config`: the parameters of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expman.compat.wandb.attribute_mapping import AttributeMapping
from expman.compat.wandb.errors import ConfigChangeError, UsageError
from expman.shown import shown, type_name

__all__ = ["RunConfig", "items_of"]


class RunConfig(AttributeMapping):
    """Parameters by name; each change is published.

    A parameter that has a value keeps it: another one raises ConfigChangeError, unless
    `update(…, allow_val_change=True)` brings it.
    """

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def update(  # type: ignore[override]
        self, params: Any = (), allow_val_change: bool | None = None, **more: Any
    ) -> None:
        """Adds parameters.

        Args:
            params: a mapping, or an object with fields, as argparse.Namespace.
            allow_val_change: another value than the one that is there is taken.
            more: as `params`.

        Durability: published when it returns.

        Raises:
            ConfigChangeError: a value would change; nothing was recorded.
            UsageError: the parameters have no names.
        """
        found = {**items_of(params), **more}
        if not allow_val_change:
            for key, value in found.items():
                if key in self._items and not _same(self._items[key], value):
                    raise ConfigChangeError(
                        f"parameter {key!r} is {shown(self._items[key])} and would become "
                        f"{shown(value)}; use config.update({{…}}, allow_val_change=True)"
                    )
        self._items.update(found)
        if found:
            self._publish(found)

    def setdefaults(self, params: Any) -> None:
        """Adds those parameters that are not there."""
        self.update({key: value for key, value in items_of(params).items() if key not in self})

    def persist(self) -> None:
        """Does nothing: what has changed is published."""


def items_of(params: Any) -> dict[str, Any]:
    """Parameters by name, of a mapping, of an object with fields, or of the flags of absl.

    Raises:
        UsageError: there are no names.
    """
    if not params:
        return {}
    flags = getattr(params, "flag_values_dict", None)
    if callable(flags):
        params = flags()
    if isinstance(params, Mapping) or callable(getattr(params, "keys", None)):
        return {str(key): params[key] for key in params.keys()}  # noqa: SIM118
    if hasattr(params, "__dict__") and not isinstance(params, type):
        return {key: value for key, value in vars(params).items() if not key.startswith("_")}
    raise UsageError(f"config is {type_name(params)}; pass a mapping or an object with fields")


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except (TypeError, ValueError):  # arrays compare value by value
        return one is other
