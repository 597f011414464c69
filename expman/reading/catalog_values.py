"""Values of many runs by their names, as catalogs have them: what one run needs is done once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from expman.reading.catalog_fields import PARAMS, SCALARS, SUFFIXES
from expman.reading.json_text import from_json
from expman.reading.run import Run

if TYPE_CHECKING:
    from expman.reading.catalog_index import CatalogIndex

__all__ = ["cataloged_values"]

_Find = Callable[[int, dict[str, Any]], object]
_PLACES = frozenset({"experiment", "run"})


def cataloged_values(
    runs: Iterable[Run], names: Sequence[str], fact_of: Callable[[str], str | None]
) -> Iterator[list[object] | None]:
    """Yields the values of each run; None if the run's files must be asked.

    Args:
        runs: the runs.
        names: the names, as in `RunFields.value`.
        fact_of: returns the fact that a name means, if it means one.
    """
    readers: dict[CatalogIndex, _Reader | None] = {}
    for run in runs:
        catalog = run._catalog
        if catalog is None:
            yield None
            continue
        if catalog not in readers:
            try:
                readers[catalog] = _Reader(catalog, names, fact_of)
            except LookupError:
                readers[catalog] = None
        reader = readers[catalog]
        yield None if reader is None else reader.values(run)


class _Reader:
    """Reads values of the runs of one catalog.

    Raises:
        LookupError: the catalog does not have them.
    """

    def __init__(
        self, catalog: CatalogIndex, names: Sequence[str], fact_of: Callable[[str], str | None]
    ) -> None:
        self._catalog = catalog
        self._columns: dict[str, list[str | None]] = {}
        self._needs_yaml = False
        self._finders = [self._finder(name, fact_of(name)) for name in names]

    def values(self, run: Run) -> list[object] | None:
        """Returns the values of a run; None if its row does not hold, or lacks some."""
        row, catalog = run._row, self._catalog
        if self._needs_yaml and not catalog.holds(row, run):
            return None
        if "params" in self._columns and not catalog.config_holds(row, run):
            return None
        known: dict[str, Any] = {"path": run}
        for name, texts in self._columns.items():
            text = texts[row]
            if text is None:
                return None
            known[name] = from_json(text)
        return [find(row, known) for find in self._finders]

    def _finder(self, name: str, fact: str | None) -> _Find:
        """As in `CatalogFields.value`."""
        if fact == "path":
            return lambda _, known: known["path"]._place
        if fact is not None:
            self._needs_yaml |= fact not in _PLACES
            column = self._catalog.values(fact)
            return lambda row, _: column[row]
        self._needs_yaml = True
        if name.startswith(PARAMS):
            return self._one_of(("params", name.removeprefix(PARAMS)))
        if name.startswith(SCALARS):
            return self._one_of(("scalars", name.removeprefix(SCALARS)))
        metric, _, suffix = name.rpartition(":")
        if metric and suffix in SUFFIXES:
            self._need("best")
            return lambda _, known: known["best"].get(metric, {}).get(suffix)
        return self._one_of(("params", name), ("scalars", name), ("last", name))

    def _one_of(self, *places: tuple[str, str]) -> _Find:
        for column, _ in places:
            self._need(column)

        def find(row: int, known: dict[str, Any]) -> object:
            for column, key in places:
                if key in known[column]:
                    return known[column][key]
            return None

        return find

    def _need(self, column: str) -> None:
        self._columns[column] = self._catalog.values(column)
