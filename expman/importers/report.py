"""What an import could not take over, or not under its name."""

from __future__ import annotations

from collections import Counter

from expman.fixed_columns import reserved
from expman.models import safe_text

__all__ = ["MetricNames", "Report"]

MOST_NAMED = 1000
"""So many changed names are kept for the report; all are counted."""


class Report:
    """Collects it for one run.

    Attributes:
        left_out: number of values that are in no file of the run, by kind.
        renamed: names that the run has instead of the ones in the source.
        more_renamed: how many more there are.
    """

    def __init__(self) -> None:
        self.left_out: Counter[str] = Counter()
        self.renamed: dict[str, str] = {}
        self.more_renamed = 0

    def leave_out(self, kind: str, count: int = 1) -> None:
        """Counts values of a kind."""
        self.left_out[kind] += count

    def rename(self, old: str, new: str) -> None:
        """Notes that a name was changed."""
        if len(self.renamed) < MOST_NAMED:
            self.renamed[safe_text(old)] = new
        else:
            self.more_renamed += 1


class MetricNames:
    """Names of metrics in a run. Two names of the source never become one.

    The names of fixed columns get an underscore, and lone surrogates become escapes.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._names: dict[str, str] = {}
        self._taken: set[str] = set()

    def of(self, tag: str) -> str:
        """The metric that a name of the source has become."""
        found = self._names.get(tag)
        if found is None:
            found = safe_text(tag) or "value"
            while found in self._taken or found in reserved():
                found += "_"
            if found != tag:
                self._report.rename(tag, found)
            self._names[tag] = found
            self._taken.add(found)
        return found
