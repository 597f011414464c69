"""Runs made of files, without any process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unit.storage.storage_model import block

from expman.metadata import RunMetadata
from expman.models import RunStatus
from expman.storage.configfile import merge_params
from expman.storage.vectors import RowBlock, VectorStore
from expman.storage.yamlfile import RunFile

__all__ = ["block", "make_run"]


def make_run(
    base_dir: Path,
    name: str = "run",
    *blocks: RowBlock,
    experiment: str = "exp",
    status: RunStatus = RunStatus.FINISHED,
    started_at: str = "2026-01-31T12:00:00.000000Z",
    tags: list[str] | None = None,
    params: dict[str, object] | None = None,
    **metadata: Any,
) -> Path:
    """A run with these rows, consolidated, and with this metadata."""
    run_dir = base_dir / experiment / name
    run_dir.mkdir(parents=True, exist_ok=True)
    store = VectorStore(str(run_dir))
    for one in blocks:
        store.append(one)
    store.finish()
    store.close()
    RunFile(str(run_dir)).write(
        RunMetadata(
            name=name,
            experiment=experiment,
            status=status,
            started_at=started_at,
            tags=tags,
            **metadata,
        )
    )
    if params:
        merge_params(str(run_dir), params)
    return run_dir
