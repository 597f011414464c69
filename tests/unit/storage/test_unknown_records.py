"""unknown_records.jsonl: each record once, whatever a kill or damage has left."""

from __future__ import annotations

from pathlib import Path

import pytest

from expman.storage import unknown_records
from expman.storage.unknown_records import UnknownRecord, UnknownRecords, read_unknown_records


def record(lane: int, number: int) -> UnknownRecord:
    return UnknownRecord("main", lane, number, bytes([number]))


def numbers(run_dir: Path) -> list[tuple[int, int]]:
    return [(one.lane, one.number) for one in read_unknown_records(str(run_dir))]


def append(run_dir: Path, *records: UnknownRecord) -> None:
    """Appends as a writer does that has just begun."""
    file = UnknownRecords(str(run_dir))
    file.append(records)
    file.close()


def test_records_that_come_again_are_there_once(tmp_path: Path) -> None:
    """A successor takes records that the file has; lanes are told apart."""
    append(tmp_path, record(1, 0), record(2, 5), record(1, 3))
    append(tmp_path, record(1, 3), record(1, 4), record(2, 5), record(2, 6))
    assert [(1, 0), (2, 5), (1, 3), (1, 4), (2, 6)] == numbers(tmp_path)


def test_a_torn_line_is_cut_off(tmp_path: Path) -> None:
    """Its record comes again."""
    append(tmp_path, record(1, 0), record(1, 1))
    path = tmp_path / "unknown_records.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    append(tmp_path, record(1, 1))
    assert [(1, 0), (1, 1)] == numbers(tmp_path)


def test_a_damaged_line_costs_no_other(tmp_path: Path) -> None:
    """What lies behind it stays in the file, for nothing else has it any more."""
    append(tmp_path, record(1, 0), record(1, 1), record(1, 2))
    path = tmp_path / "unknown_records.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"?" + lines[1] + lines[2])
    append(tmp_path, record(1, 2), record(1, 3))
    assert [(1, 0), (1, 2), (1, 3)] == numbers(tmp_path)
    assert lines[1] in path.read_bytes()


def test_resuming_reads_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the heads of lines are looked at, however large a record is; torn lines are cut off."""
    monkeypatch.setattr(unknown_records, "_HEAD_BYTES", 64)
    large = UnknownRecord('a"b', 9, 4, b"x" * 10_000)
    append(tmp_path, record(7, 0), large, record(7, 1))
    path = tmp_path / "unknown_records.jsonl"
    whole = path.read_bytes()
    torn = whole.splitlines()[1][:5_000]
    path.write_bytes(whole + torn)

    append(tmp_path, record(7, 1), large, record(7, 2))

    assert path.read_bytes().startswith(whole)
    assert [(7, 0), (9, 4), (7, 1), (7, 2)] == numbers(tmp_path)
