"""The fixed columns: one table, of which every other list is made."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from msgspec.structs import replace
from unit.storage.storage_model import block, tables

from expman.errors import StorageError
from expman.fixed_columns import FIXED_COLUMNS, layout_version, reserved
from expman.reading.run import Run
from expman.reading.sql import distinct_names
from expman.storage.columns import FIXED, check_layout
from expman.storage.vectors import VectorStore
from expman.transport.values import RESERVED_COLUMNS


def test_one_table() -> None:
    """Names are reserved, and kept in SQL, because they are in the table."""
    assert {column.name for column in FIXED_COLUMNS} == reserved() == RESERVED_COLUMNS == set(FIXED)
    names = [*sorted(reserved()), *(name.upper() for name in sorted(reserved()))]
    table = distinct_names(pa.table({name: [1] for name in names}))
    assert sorted(reserved()) == table.column_names[: len(reserved())]


def test_a_column_that_some_producers_have(tmp_path: Path) -> None:
    """Rows of the others have null there, whichever came first, and it is no metric."""
    run_dir = tmp_path / "e" / "r"
    run_dir.mkdir(parents=True)
    for first, fixed in enumerate([{}, {"_rank": 3}, {}, {"_rank": 4}]):
        store = VectorStore(str(run_dir))
        store.append(replace(block(2 * first, {"m": [1.0, 2.0]}), fixed=fixed))
        store.flush()
        if first == 2:
            for _ in store.consolidate():
                pass
        store.close()
    ranks = [None, None, 3, 3, None, None, 4, 4]
    assert ["m"] == Run(run_dir).metrics
    table = Run(run_dir).vectors()
    assert ["step", "timestamp", "_rank", "m"] == table.column_names
    assert ranks == table["_rank"].to_pylist()
    assert [{"m": 1.0}, {"m": 2.0}] == [row.values for row in Run(run_dir).follow(timeout_s=0)][:2]
    store = VectorStore(str(run_dir))
    store.finish()
    assert "_rank" not in store.latest
    (table,) = tables(run_dir)
    assert ["step", "timestamp", "_producer", "_seq", "_rank", "m"] == table.column_names
    assert ranks == table["_rank"].to_pylist()


@pytest.mark.parametrize("version", [b"3", b"0x1", b"\xff", b""])
def test_a_version_that_is_not_known(version: bytes) -> None:
    """The message has both versions and what to do."""
    message = rf"x\.parquet: has layout version .*up to {layout_version()}; use the expman version"
    with pytest.raises(StorageError, match=message):
        check_layout("x.parquet", {b"expman.layout": version})
    for known in ({}, None, {b"expman.layout": b"1"}, {b"expman.layout": b"2"}):
        check_layout("x.parquet", known)
