"""Rows of the page's table from the catalog of the base directory, in a tenth of the time.

What is not plain in the catalog is read from the run's directory, as if there were no catalog.
"""

from __future__ import annotations

import os
import re
import stat
from functools import cached_property

import msgspec

from expman.dashboard.json_text import flat
from expman.dashboard.run_record import LONGEST, MOST_KEYS
from expman.models import RunStatus
from expman.reading.catalog_index import CatalogIndex
from expman.reading.commit import commit_of
from expman.reading.notes import read_notes
from expman.storage.paths import CONFIG_YAML, RUN_YAML

__all__ = ["ListedRecords"]

_ENDED = frozenset({RunStatus.FINISHED, RunStatus.FAILED, RunStatus.CRASHED})
_MAPS = ("params", "scalars", "last", "best")
_PLAIN = ("status", "reason", "duration_s", "rows", "group", "project", "description", "host")
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

    def record(self, run_dir: str) -> tuple[bytes, str] | None:
        """Returns the row of a run, as `record_of` makes it, and what sorts runs by their start.

        Returns:
            None if the catalog does not have it as it is now; then its directory has to be read.
        """
        row = self.places.get(run_dir)
        if row is None:
            return None
        try:
            if not self._holds(row, run_dir):
                return None
            found = self._made(row, run_dir)
            return None if found is None else (found, str(self._index.value(row, "sort_key")))
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

    def _second(self, row: int, name: str) -> float | None:
        micros = self._index.column(name)[row].value
        return None if micros is None else micros / 1e6

    def _made(self, row: int, run_dir: str) -> bytes | None:
        facts = {name: self._index.cell(name, row) for name in _PLAIN}
        maps = {name: self._index.cell(name, row) for name in _MAPS}
        is_plain = (
            facts["status"] in _ENDED
            and self._index.cell("rank", row) is None
            and self._index.cell("attempt", row) == 1
            and not self._index.cell("foreign", row)
        )
        if not is_plain:
            return None
        decoded = {}
        for name, text in maps.items():
            if not isinstance(text, str) or _ODD.search(text):
                return None
            decoded[name] = msgspec.json.decode(text, type=dict[str, object])
        best = decoded.pop("best")
        if any(len(values) > MOST_KEYS for values in (*decoded.values(), best)):
            return None
        experiment, run = (str(self._index.cell(name, row)) for name in ("experiment", "run"))
        reason = facts["reason"]
        times = ("started_at", "finished_at", "heartbeat_at")
        record = {
            "id": f"{experiment}/{run}",
            "experiment": experiment,
            "run": run,
            **facts,
            **{name: self._second(row, name) for name in times},
            "stalled_since": None,
            "rank": None,
            "notes": read_notes(run_dir, LONGEST),
            "tags": self._index.cell("tags", row) or [],
            "attempts": 1,
            "error": str(reason).strip().partition("\n")[0] if reason else None,
            "foreign": False,
            "commit": commit_of(run_dir),
        }
        shown = flat(record, LONGEST)
        shown.update({name: msgspec.Raw(str(maps[name]).encode()) for name in decoded})
        for kind in ("min", "max"):
            shown[kind] = {
                name: one.get(kind) for name, one in best.items() if isinstance(one, dict)
            }
        return msgspec.json.encode(shown)
