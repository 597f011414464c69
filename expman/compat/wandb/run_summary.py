"""`run.summary`: a value for each metric, the last one unless `define_metric` wants another."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from expman.compat.wandb.attribute_mapping import AttributeMapping
from expman.compat.wandb.errors import UsageError
from expman.shown import shown

__all__ = ["LiveSummary", "MetricDefinitions"]

KINDS = ("min", "max", "mean", "best", "first", "last", "none", "copy")


class LiveSummary(AttributeMapping):
    """Values by name: those that were set here, and what metrics have come to."""

    def update(self, values: Any = (), **more: Any) -> None:  # type: ignore[override]
        """Sets values. Durability: published when it returns."""
        found = {**dict(values), **more}
        self._items.update(found)
        self._publish(found)

    def note(self, values: dict[str, Any]) -> None:
        """Takes the last values of metrics, which the rows have: nothing is published."""
        self._items.update(values)


class _Definition(NamedTuple):
    """What `define_metric` was told of one name or pattern."""

    step_metric: str | None
    synced: bool
    kinds: tuple[str, ...]


class MetricDefinitions:
    """What `define_metric` was told, and what metrics have come to."""

    def __init__(self) -> None:
        self._defined: dict[str, _Definition] = {}
        self._seen: dict[str, float | int | str] = {}
        self._reduced: dict[str, dict[str, Any]] = {}
        self._counts: dict[str, int] = {}

    def define(
        self, name: str, step_metric: Any, synced: bool, summary: str | None, goal: str | None
    ) -> str | None:
        """Takes a definition; returns the name of its step metric.

        Raises:
            UsageError: there is no such summary.
        """
        kinds = tuple(kind.strip() for kind in (summary or "").split(",") if kind.strip())
        unknown = [kind for kind in kinds if kind not in KINDS]
        if unknown:
            raise UsageError(
                f"metric {name!r}: summary {shown(unknown[0])} must be one of {', '.join(KINDS)}"
            )
        best = "max" if (goal or "").startswith("max") else "min"
        kinds = tuple(best if kind == "best" else kind for kind in kinds)
        step = getattr(step_metric, "name", step_metric)
        self._defined[name] = _Definition(step, synced, kinds)
        return None if step is None else str(step)

    def _of(self, name: str) -> _Definition | None:
        found = self._defined.get(name)
        if found is None:
            patterns = (pattern for pattern in self._defined if "*" in pattern)
            found = next(
                (self._defined[pattern] for pattern in patterns if fnmatchcase(name, pattern)), None
            )
        return found

    def steps_of(self, row: dict[str, Any]) -> dict[str, Any]:
        """The last values of the step metrics that belong to a row and are not in it."""
        if not self._defined:
            return {}
        wanted = {
            definition.step_metric
            for name in row
            if (definition := self._of(name)) is not None and definition.synced
        }
        steps = {name for one in self._defined.values() if (name := one.step_metric) is not None}
        self._seen.update({name: row[name] for name in steps if name in row})
        return {
            name: self._seen[name]
            for name in wanted
            if name is not None and name not in row and name in self._seen
        }

    def summary_of(
        self, row: dict[str, Any], publish: Callable[[str, Any], None]
    ) -> dict[str, Any]:
        """What metrics of a row have come to; what is more than the last value is published."""
        if not self._defined:
            return row
        found = dict(row)
        for name, value in row.items():
            definition = self._of(name)
            if definition is None or not definition.kinds:
                continue
            if "none" in definition.kinds:
                del found[name]
                continue
            for kind, number in self._reduce(name, value, definition.kinds):
                publish(f"{name}/{kind}", number)
            found[name] = dict(self._reduced.get(name, {}))
        return found

    def _reduce(self, name: str, value: Any, kinds: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        number = value.item() if hasattr(value, "item") else value
        if not isinstance(number, int | float) or math.isnan(number):
            return
        known = self._reduced.setdefault(name, {})
        self._counts[name] = count = self._counts.get(name, 0) + 1
        for kind in kinds:
            before = known.get(kind)
            if kind == "mean":
                after = number if before is None else before + (number - before) / count
            elif before is None or kind in ("last", "copy"):
                after = number
            else:
                after = {"min": min, "max": max}.get(kind, lambda a, _: a)(before, number)
            if after != before:
                known[kind] = after
                yield kind, after
