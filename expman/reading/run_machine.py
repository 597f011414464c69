"""Records of a run without a call: samples of the machine, and its provenance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from expman.errors import ExpmanError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["RunMachine"]


class RunMachine:
    """Samples of the machine and the provenance of the run in `path`."""

    path: str

    @property
    def provenance(self) -> dict[str, object]:
        """The content of provenance.yaml: git, command, interpreter, packages, host.

        Empty if it was not recorded.

        Raises:
            StorageError: it is damaged, or cannot be read.
        """
        from expman.storage.provenance import read_provenance

        return read_provenance(self.path)

    def _observed(self) -> list[tuple[str, str]]:
        """Titles and texts for a view of the run; a file that cannot be read has its error."""
        from expman.reading.machine import facts_of_machine, facts_of_provenance

        facts: list[tuple[str, str]] = []
        for title, find in (("provenance", facts_of_provenance), ("machine", facts_of_machine)):
            try:
                facts += find(self.path)
            except ExpmanError as exc:
                facts.append((title, str(exc)))
        return facts

    def system(self, columns: Sequence[str] | None = None, *, last: int | None = None) -> pa.Table:
        """The samples of the machine, in the order of time; without rows if there are none.

        A live run can be read at any moment.

        Args:
            columns: the columns to read, in this order; `step`, the number of the sample, and
                `timestamp` may be among them. Both and all values if left out.
            last: only the newest samples, this many.

        Raises:
            ConfigError: there is no such column.
            StorageError: a file cannot be read.
        """
        from expman.reading.vectors import read_vectors
        from expman.storage.paths import SYSTEM

        return read_vectors(self.path, columns, last=last, stem=SYSTEM)
