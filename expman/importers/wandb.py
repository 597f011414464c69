"""wandb's local files: a run for each `.wandb` file, or for several of one run that was resumed.

Field numbers are those of wandb_internal.proto. wandb writes the same whether it is offline or not.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from expman.formats.damage import DamagedError
from expman.formats.protobuf import decode
from expman.formats.record_log import DAMAGED, read_log
from expman.importers.imported_run import ImportedRun, modified_times
from expman.importers.source import Advance, Source, state_of
from expman.importers.walking import walk
from expman.importers.wandb_records import Records
from expman.storage.paths import open_regular

__all__ = ["find"]

_TRACKER = "wandb"
_RUN = 17
_FIRST_RECORDS = 20
"""The run's own record is among them."""


class _File(NamedTuple):
    """A `.wandb` file, and whose it is."""

    path: str
    run_id: str
    entity: str
    project: str
    name: str


def find(path: str, left_out: Counter[str]) -> list[Source]:
    """The runs of a `.wandb` file, or of all below a directory."""
    paths = [path] if os.path.isfile(path) else sorted(_below(path, left_out))
    runs: dict[tuple[str, str, str], list[_File]] = {}
    for one in paths:
        if one.endswith(".wandb"):
            file = _described(one)
            runs.setdefault((file.entity, file.project, file.run_id), []).append(file)
    return [_source(files) for files in runs.values()]


def _below(path: str, left_out: Counter[str]) -> Iterator[str]:
    for folder, _, names in walk(path, left_out):
        yield from (os.path.join(folder, name) for name in names if name.endswith(".wandb"))


def _described(path: str) -> _File:
    """What the first records say; a file without them is a run of its own."""
    stem = os.path.basename(path).removesuffix(".wandb").removeprefix("run-")
    try:
        with os.fdopen(open_regular(path, follow=True), "rb") as file:
            for number, payload in enumerate(read_log(file, Counter())):
                record = decode(payload)
                if _RUN in record:
                    run = record.message(_RUN)
                    run_id = run.text(1) or stem
                    name = run.text(8) or run_id
                    return _File(path, run_id, run.text(2), run.text(3), name)
                if number > _FIRST_RECORDS:
                    break
    except (DamagedError, OSError):
        pass  # reading it will say so
    return _File(path, stem, "", "", stem)


def _source(files: list[_File]) -> Source:
    first = files[0]
    paths = [file.path for file in files]

    def read(run: ImportedRun, advance: Advance) -> None:
        for path in paths:
            _read(path, run, advance)

    below = [path for folder in map(os.path.dirname, paths) for path in _files_of(folder)]
    return Source(
        tracker=_TRACKER,
        path=os.path.dirname(first.path) or ".",
        identity="/".join((first.entity, first.project, first.run_id)),
        name=first.name,
        read=read,
        size=sum(map(os.path.getsize, paths)),
        experiment=first.project or "uncategorized",  # as wandb calls it
        state=state_of([*paths, *sorted(below)]),
        times=modified_times(paths),
        about=f"imported from wandb run {first.run_id}",
    )


def _files_of(folder: str) -> Iterator[str]:
    for inner, _, names in os.walk(os.path.join(folder, "files")):
        yield from (os.path.join(inner, name) for name in names)


def _read(path: str, run: ImportedRun, advance: Advance) -> None:
    records = Records(run, os.path.dirname(path))
    with os.fdopen(open_regular(path, follow=True), "rb") as file:
        for payload in read_log(file, run.report.left_out):
            try:
                records.take(decode(payload))
            except DamagedError:
                run.report.leave_out(DAMAGED)
            advance(len(payload))
    records.finish()
