"""Values of a run by their names, as a catalog has them; its files have them, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from expman.reading.kinds import KINDS
from expman.reading.run import Run
from expman.storage.paths import CONFIG_YAML

if TYPE_CHECKING:
    from expman.reading.catalog_index import CatalogIndex

__all__ = ["PARAMS", "SCALARS", "SUFFIXES", "CatalogFields"]

PARAMS, SCALARS = "params.", "scalars."
SUFFIXES = (*KINDS, *(f"{kind}_step" for kind in KINDS))
_NAMES = frozenset({"experiment", "run"})


class CatalogFields:
    """The values that a catalog has of one run.

    Args:
        run: the run.
        catalog: the catalog that lists it.
    """

    def __init__(self, run: Run, catalog: CatalogIndex) -> None:
        self._run = run
        self._catalog = catalog
        self._holds: bool | None = None
        self._params: Any = None

    def value(self, fact: str | None, name: str) -> object:
        """Returns a value; None if the run has none.

        Args:
            fact: the fact that `name` means, if it means one.
            name: as in `RunFields.value`.

        Raises:
            LookupError: the catalog has it not, or it does not hold; the run's files have it.
        """
        run, catalog = self._run, self._catalog
        if fact in _NAMES:
            return catalog.values(fact)[run._row]
        if fact == "path":
            return run._place
        if self._holds is None:
            self._holds = catalog.holds(run._row, run)
        if not self._holds:
            raise LookupError(name)
        if fact is not None:
            return catalog.values(fact)[run._row]
        if name.startswith(PARAMS):
            return self._parameters().get(name.removeprefix(PARAMS))
        if name.startswith(SCALARS):
            return catalog.value(run._row, "scalars").get(name.removeprefix(SCALARS))
        metric, _, suffix = name.rpartition(":")
        if metric and suffix in SUFFIXES:
            return catalog.value(run._row, "best").get(metric, {}).get(suffix)
        for values in (self._parameters(), catalog.value(run._row, "scalars")):
            if name in values:
                return values[name]
        return catalog.value(run._row, "last").get(name)

    def _parameters(self) -> Any:
        if self._params is None:
            row = self._run._row
            if not self._catalog.config_holds(row, self._run):
                raise LookupError(CONFIG_YAML)
            self._params = self._catalog.value(row, "params")
        return self._params
