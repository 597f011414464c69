"""Rows of the page's table from the catalog of the base directory, in a tenth of the time.

What is not plain in the catalog is read from the run's directory, as if there were no catalog.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, TypeAlias

import msgspec

from expman.dashboard.json_text import flat
from expman.dashboard.run_record import LONGEST, MOST_KEYS, whole_names
from expman.models import RunStatus
from expman.reading.catalog_index import CatalogIndex
from expman.reading.commit import commit_of
from expman.reading.notes import read_notes
from expman.storage.paths import CONFIG_YAML, RUN_YAML

__all__ = ["Listed", "ListedRecords"]

Listed: TypeAlias = tuple[bytes, str] | None
"""The row of a run as JSON, and what sorts runs by their start; None: it has to be read."""

_ENDED = frozenset({RunStatus.FINISHED, RunStatus.FAILED, RunStatus.CRASHED})
_MAPS = ("params", "scalars", "last", "best")
_PLAIN = ("status", "reason", "duration_s", "rows", "group", "project", "description", "host")
_TIMES = ("started_at", "finished_at", "heartbeat_at")
_COLUMNS = (
    *("experiment", "run", "rank", "attempt", "foreign", "tags", "sort_key"),
    *(*_PLAIN, *_MAPS, *_TIMES),
)
_ODD = re.compile(rf'"[^"]{{{LONGEST},}}"|\{{"text":|[:\[,]-?\d{{16,}}[,\]}}]')
"""Long texts, integers that JavaScript does not know, and texts such as "NaN"."""


class ListedRecords:
    """The runs of a catalog.

    Args:
        index: the catalog.
    """

    def __init__(self, index: CatalogIndex) -> None:
        self._index = index

    @classmethod
    def open(cls, base_dir: str) -> ListedRecords | None:
        """Opens the catalog of a base directory; None if there is none that can be used."""
        index = CatalogIndex.open(base_dir)
        return None if index is None else cls(index)

    @property
    def paths(self) -> list[str]:
        """The directories of its runs, newest first; some may be gone."""
        return self._index.paths

    @cached_property
    def places(self) -> dict[str, int]:
        """Where each directory is among `paths`."""
        return {path: place for place, path in enumerate(self.paths)}

    def newest(self, count: int) -> Iterator[tuple[str, Listed]]:
        """Yields the directories of the newest runs, and their rows where the catalog has them."""
        try:
            batch = self._index.newest(_COLUMNS, count)
        except LookupError:
            return
        for row, run_dir in enumerate(self.paths[: batch.num_rows]):
            yield run_dir, self._listed(row, run_dir, batch.column)

    def record(self, run_dir: str) -> Listed:
        """Returns the row of a run, as `record_of` makes it, and what sorts runs by their start.

        Returns:
            None if the catalog does not have it as it is now; then its directory has to be read.
        """
        row = self.places.get(run_dir)
        return None if row is None else self._listed(row, run_dir, self._index.column)

    def _listed(self, row: int, run_dir: str, column: Callable[[str], Any]) -> Listed:
        try:
            if not self._holds(row, run_dir):
                return None
            found = _made({name: column(name)[row] for name in _COLUMNS}, run_dir)
            return None if found is None else (found, column("sort_key")[row].as_py())
        except (LookupError, msgspec.MsgspecError, UnicodeError):
            return None

    def _holds(self, row: int, run_dir: str) -> bool:
        for name in (RUN_YAML, CONFIG_YAML):
            try:
                if stat.S_ISLNK(os.lstat(os.path.join(run_dir, name)).st_mode):
                    return False  # it may lead out of the base directory
            except OSError:
                continue
        run = self._index.listed([row]).runs[0]
        return self._index.holds(row, run) and self._index.config_holds(row, run)


def _made(cells: Mapping[str, Any], run_dir: str) -> bytes | None:
    """Returns the row of a run; None if it is not plain."""
    facts = {name: cells[name].as_py() for name in _PLAIN}
    is_plain = (
        facts["status"] in _ENDED
        and cells["rank"].as_py() is None
        and cells["attempt"].as_py() == 1
        and not cells["foreign"].as_py()
    )
    if not is_plain:
        return None
    texts, values = {}, {}
    for name in _MAPS:
        text = cells[name].as_py()
        if text is None or _ODD.search(text):
            return None
        values[name] = msgspec.json.decode(text, type=dict[str, object])
        texts[name] = msgspec.Raw(text.encode())
    if any(len(mapping) > MOST_KEYS for mapping in values.values()):
        return None
    experiment, run = cells["experiment"].as_py(), cells["run"].as_py()
    reason = facts["reason"]
    record = {
        **facts,
        **{name: _second(cells[name]) for name in _TIMES},
        "stalled_since": None,
        "rank": None,
        "notes": read_notes(run_dir, LONGEST),
        "tags": cells["tags"].as_py() or [],
        "attempts": 1,
        "error": str(reason).strip().partition("\n")[0] if reason else None,
        "foreign": False,
        "commit": commit_of(run_dir),
    }
    best = values["best"].items()
    kinds = {
        kind: {name: one.get(kind) for name, one in best if isinstance(one, dict)}
        for kind in ("min", "max")
    }
    maps = {name: texts[name] for name in ("params", "scalars", "last")}
    row = {**whole_names(experiment, run), **flat(record, LONGEST), **maps, **kinds}
    return msgspec.json.encode(row)


def _second(cell: Any) -> float | None:
    micros = cell.value
    return None if micros is None else micros / 1e6
