"""Resuming: after kills at any byte, after crashes between steps, over rubbish files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from unit.storage.storage_model import block, seqs, tables

from expman.storage.vectors import VectorStore


def test_torn_last_message_at_every_byte(tmp_path: Path) -> None:
    """Rows before the cut stay, a successor writes the rest, nothing is twice."""
    whole = tmp_path / "whole"
    store = VectorStore(str(whole))
    store.append(block(0, {"x": [0.5, 1.5]}))
    store.flush()
    before = (whole / "vectors-0001.arrow").stat().st_size
    store.append(block(2, {"x": [2.5]}))
    store.flush()
    data = (whole / "vectors-0001.arrow").read_bytes()
    store.close()
    for cut in range(len(data) + 1):
        run_dir = tmp_path / "cut"
        run_dir.mkdir()
        (run_dir / "vectors-0001.arrow").write_bytes(data[:cut])
        store = VectorStore(str(run_dir))
        first = store.next_seq("main")
        if cut >= before:
            assert first == (3 if cut == len(data) else 2)
            assert list(range(first)) == seqs(run_dir)
        store.append(block(first, {"x": [seq + 0.5 for seq in range(first, 4)]}))
        store.flush()
        assert [0, 1, 2, 3] == seqs(run_dir)
        assert not list(run_dir.glob("*.corrupt*"))
        if cut % 50 == 0:
            store.finish()
            assert [0, 1, 2, 3] == seqs(run_dir)
        store.close()
        shutil.rmtree(run_dir)


def test_zeros_after_a_machine_crash_are_cut_off(tmp_path: Path) -> None:
    """File systems leave zeros where data had not reached the disk."""
    store = VectorStore(str(tmp_path))
    store.append(block(0, {"x": [0.5]}))
    store.flush()
    store.close()
    path = tmp_path / "vectors-0001.arrow"
    path.write_bytes(path.read_bytes() + bytes(5000))
    store = VectorStore(str(tmp_path))
    assert 1 == store.next_seq("main")
    assert [0] == seqs(tmp_path)
    assert "5000 bytes" in store.take_warnings()[0]


def test_wrong_bytes_are_kept_in_a_copy(tmp_path: Path) -> None:
    """Rows before the damage stay in the run, the whole file stays for a human."""
    store = VectorStore(str(tmp_path))
    store.append(block(0, {"x": [0.5]}))
    store.flush()
    store.close()
    path = tmp_path / "vectors-0001.arrow"
    damaged = path.read_bytes() + b"\xff\xff\xff\xff\x10\0\0\0" + b"x" * 100
    path.write_bytes(damaged)
    store = VectorStore(str(tmp_path))
    assert [0] == seqs(tmp_path)
    assert damaged == (tmp_path / "vectors-0001.arrow.corrupt").read_bytes()
    assert 1 == len(store.take_warnings())


def test_killed_between_rename_and_delete(tmp_path: Path) -> None:
    """Tail files that vectors.parquet covers are dropped: no row twice."""
    store = VectorStore(str(tmp_path))
    store.append(block(0, {"x": [0.5, 1.5]}))
    store.flush()
    tail = (tmp_path / "vectors-0001.arrow").read_bytes()
    store.finish()
    (tmp_path / "vectors-0001.arrow").write_bytes(tail)
    store = VectorStore(str(tmp_path))
    assert ["vectors.parquet"] == [path.name for path in tmp_path.iterdir()]
    assert (2, 2) == (store.next_seq("main"), store.rows_written)


def test_rows_that_two_tail_files_hold_are_kept_once(tmp_path: Path) -> None:
    """A write that failed only in its report was written again to the next file."""
    store = VectorStore(str(tmp_path))
    store.append(block(0, {"x": [0.5, 1.5]}))
    store.flush()
    first = (tmp_path / "vectors-0001.arrow").read_bytes()
    store.close()
    (tmp_path / "vectors-0001.arrow").unlink()
    store = VectorStore(str(tmp_path))
    store.append(block(1, {"x": [1.5, 2.5]}))
    store.append(block(0, {"x": [7.0]}, "worker-0"))
    store.flush()
    store.close()
    (tmp_path / "vectors-0000.arrow").write_bytes(first)
    store = VectorStore(str(tmp_path))
    assert [0, 1, 2, 0] == seqs(tmp_path)
    assert 4 == store.rows_written
    store.finish()
    assert [0.5, 1.5, 2.5, 7.0] == tables(tmp_path)[0].column("x").to_pylist()


def test_resume_restores_kinds_latest_and_seqs(tmp_path: Path) -> None:
    """The successor goes on exactly where the files end, in a new tail file."""
    store = VectorStore(str(tmp_path))
    store.append(block(0, {"f": [float("nan")], "i": [2**60], "b": [True], "t": ["x"]}))
    store.finish()
    store.append(block(1, {"i": [7]}))
    store.append(block(0, {"t": ["y"]}, "worker-0"))
    store.flush()
    store.close()
    store = VectorStore(str(tmp_path))
    assert (2, 1) == (store.next_seq("main"), store.next_seq("worker-0"))
    assert "nan" == repr(store.latest["f"])
    assert (7, True, "y") == (store.latest["i"], store.latest["b"], store.latest["t"])
    store.append(block(2, {"i": [8]}))
    store.flush()
    names = [path.name for path in sorted(tmp_path.glob("*.arrow"))]
    assert ["vectors-0001.arrow", "vectors-0002.arrow"] == [
        f"vectors-{i + 1:04d}.arrow" for i in range(len(names))
    ]
    store.finish()
    assert pa.int64() == tables(tmp_path)[0].schema.field("i").type
    assert 4 == store.rows_written


def test_latest_is_not_ahead_of_the_files(tmp_path: Path) -> None:
    """Rows that were only in memory at the kill do not show in the successor's `latest`."""
    store = VectorStore(str(tmp_path))
    store.append(block(0, {"x": [1.0]}))
    store.flush()
    store.append(block(1, {"x": [2.0]}))
    assert {"x": 2.0} == store.latest
    for _ in store.consolidate():
        pass
    store.close()
    assert {"x": 1.0} == VectorStore(str(tmp_path)).latest


def test_parquet_without_our_footer_is_read_by_its_columns(tmp_path: Path) -> None:
    """A file that another tool rewrote, which dropped the metadata, still resumes."""
    store = VectorStore(str(tmp_path))
    store.append(block(0, {"x": [1.0, 2.0], "y": [5, None]}))
    store.finish()
    path = tmp_path / "vectors.parquet"
    table = pq.read_table(path, partitioning=None)
    pq.write_table(table.replace_schema_metadata(None), path)
    store = VectorStore(str(tmp_path))
    assert (2, {"x": 2.0, "y": 5}) == (store.next_seq("main"), store.latest)


@pytest.mark.parametrize("name", ["vectors.parquet", "vectors-0003.arrow"])
@pytest.mark.parametrize("kind", ["rubbish", "link", "directory", "foreign"])
def test_what_is_not_ours_is_set_aside(tmp_path: Path, name: str, kind: str) -> None:
    """It is renamed to .corrupt, never followed, never deleted, and the run goes on."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    path = run_dir / name
    if kind == "rubbish":
        path.write_bytes(b"no such format" * 100)
    elif kind == "link":
        path.symlink_to(outside)
    elif kind == "directory":
        path.mkdir()
    elif name == "vectors.parquet":
        pq.write_table(pa.table({"a": [1]}), path)
    else:
        schema = pa.schema([("a", pa.int64())])
        path.write_bytes(schema.serialize().to_pybytes())
    store = VectorStore(str(run_dir))
    assert 1 == len(store.take_warnings())
    assert (run_dir / f"{name}.corrupt").exists() or kind == "link"
    store.append(block(0, {"x": [0.5]}))
    store.finish()
    assert [0] == seqs(run_dir)
    assert b"precious" == outside.read_bytes()


@pytest.mark.parametrize("name", ["vectors.parquet", "vectors-0001.arrow"])
def test_empty_files_do_not_stop_a_run(tmp_path: Path, name: str) -> None:
    """A writer killed between create and write leaves an empty file."""
    (tmp_path / name).touch()
    store = VectorStore(str(tmp_path))
    store.append(block(0, {"x": [0.5]}))
    store.finish()
    assert [0] == seqs(tmp_path)


def test_temporary_files_of_a_killed_writer_go(tmp_path: Path) -> None:
    """They have a fixed prefix, and nothing else has."""
    (tmp_path / ".expman-tmp-0123").write_bytes(b"half")
    (tmp_path / "notes.txt").write_bytes(b"mine")
    VectorStore(str(tmp_path))
    assert ["notes.txt"] == [path.name for path in tmp_path.iterdir()]
