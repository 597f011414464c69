"""A new fixed column touches one file, its table, and files without it are read and continued.

It goes from the call to the files, through SIGKILL of the writer, and through `recover`.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from process.ledger import raw_rows
from process.runs import kill_writers, run_yaml, wait_until, writer_of
from seams.house import FIXED_COLUMNS, House

from expman import Run, StorageError
from expman.writer.recover import recover as recover_here

ROWS = 50
COLUMN = """\
    FixedColumn("_pid", "int64", "the process", since=3, of=lambda one: one.pid, default=-1),
"""
READ = """
import json, sys
from expman import Run

run = Run(sys.argv[1])
table = run.vectors(["n", "_pid"])
by_default = run.vectors().column_names
print(json.dumps([table["n"].to_pylist(), table["_pid"].to_pylist(), by_default, run.metrics]))
"""

WRITE = """
import os, sys
from expman.metadata import RunMetadata
from expman.storage.vectors import RowBlock, VectorStore
from expman.storage.yamlfile import RunFile

run_dir, where = sys.argv[1:]
RunFile(run_dir).write(RunMetadata(name="r", experiment="e", started_at="2026-01-31T00:00:00Z"))
os.utime(f"{run_dir}/run.yaml", (0, 0))
store = VectorStore(run_dir)
store.append(RowBlock("main", 0, [0], [0], ("n",), [[0]], {"_pid": 1}))
store.flush() if where == "tail" else store.finish()
store.close()
"""


@pytest.fixture
def newer(tmp_path: Path) -> House:
    """A copy of the package with a column more, which has a default."""
    house = House(tmp_path / "newer")
    house.extend(FIXED_COLUMNS, ("]\n\n\ndef values_of", COLUMN))
    return house


def log(trainer, count: int) -> None:  # type: ignore[no-untyped-def]
    trainer.send_line(f"log {count}")
    trainer.expect_line("logged")


def files(run_dir: Path) -> list[str]:
    return sorted(path.name for path in run_dir.glob("vectors*"))


def rows_in_files(run_dir: Path) -> int:
    meta = run_yaml(run_dir) if (run_dir / "run.yaml").exists() else {}
    return int(meta.get("rows_written", 0))


def kill_both(trainer) -> None:  # type: ignore[no-untyped-def]
    """Kills the writer, then the trainer; what was logged is in files and in shared memory."""
    writer = writer_of(trainer.pid)
    os.kill(writer.pid, signal.SIGSTOP)
    log(trainer, ROWS)
    trainer.kill()
    kill_writers(writer.token, writer.pid)


def recover(program, house: House, base: Path) -> None:  # type: ignore[no-untyped-def]
    command = ["-m", "expman.writer", "recover", str(base)]
    program(command, env=house.env, cwd=house.directory).succeed()


def read_with(program, house: House, run_dir: Path) -> Any:  # type: ignore[no-untyped-def]
    """What a reader of that package finds: n, the column, all columns, the metrics."""
    reader = program(["-c", READ], run_dir, env=house.env, cwd=house.directory)
    found = json.loads(reader.read_line())
    reader.succeed()
    return found


def footer(run_dir: Path) -> dict[bytes, bytes]:
    return dict(pq.read_metadata(run_dir / "vectors.parquet").metadata)


def test_a_new_column_through_kills(program, run_base: Path, newer: House) -> None:
    """Each row has it, whoever brought the row to a file; the writer is killed, then both are."""
    trainer = program("log_by_seams.py", run_base, env=newer.env)
    run_dir = Path(trainer.read_line())
    log(trainer, ROWS)
    wait_until(lambda: rows_in_files(run_dir) == ROWS, "rows in a file")
    os.kill(writer_of(trainer.pid).pid, signal.SIGKILL)
    log(trainer, ROWS)
    wait_until(lambda: rows_in_files(run_dir) == 2 * ROWS, "rows of the successor")
    assert {"n", "_pid"} <= set(read_with(program, newer, run_dir)[2])
    kill_both(trainer)
    recover(program, newer, run_base)
    table = raw_rows(run_dir)
    assert list(range(3 * ROWS)) == table["n"].to_pylist()
    assert {trainer.pid} == set(table["_pid"].to_pylist())
    assert pa.int64() == table["_pid"].type
    assert b"3" == footer(run_dir)[b"expman.layout"]
    *_, columns, metrics = read_with(program, newer, run_dir)
    assert (["step", "timestamp", "_pid", "n"], ["n"]) == (columns, metrics)
    assert {"n"} == set(run_yaml(run_dir)["vectors"]) == set(run_yaml(run_dir)["best"])
    assert [] == sorted(run_dir.glob("*.corrupt"))


@pytest.mark.parametrize("where", ["tail", "parquet"])
def test_a_file_without_the_column_is_continued(
    program, run_base: Path, newer: House, tmp_path: Path, where: str
) -> None:
    """A later version reads the files of this one, takes the run over and gives a default."""
    older = House(tmp_path / "older")
    trainer = program("log_by_seams.py", run_base, env=older.env)
    run_dir = Path(trainer.read_line())
    log(trainer, ROWS)
    name = {"tail": "vectors-0001.arrow", "parquet": "vectors.parquet"}[where]
    wait_until(lambda: name in files(run_dir), name)
    if where == "parquet":
        wait_until(lambda: pq.read_metadata(run_dir / name).num_rows == ROWS, "all rows")
    wait_until(lambda: rows_in_files(run_dir) == ROWS, "rows in files")
    kill_both(trainer)
    n, pids, columns, _ = read_with(program, newer, run_dir)
    assert (list(range(ROWS)), [-1] * ROWS) == (n, pids)
    assert "_pid" not in columns
    recover(program, newer, run_base)
    table = raw_rows(run_dir)
    assert list(range(2 * ROWS)) == table["n"].to_pylist()
    assert [-1] * ROWS + [trainer.pid] * ROWS == table["_pid"].to_pylist()
    assert ("CRASHED", 2 * ROWS) == tuple(run_yaml(run_dir)[k] for k in ("status", "rows_written"))
    assert [] == sorted(run_dir.glob("*.corrupt"))


@pytest.mark.parametrize("where", ["tail", "parquet"])
def test_files_of_a_later_version_are_refused(
    program, run_base: Path, newer: House, where: str
) -> None:
    """Reading and recovering name the version, and change nothing."""
    run_dir = run_base / "e" / "r"
    run_dir.mkdir(parents=True)
    program(["-c", WRITE], run_dir, where, env=newer.env, cwd=newer.directory).succeed()
    assert [{"tail": "vectors-0001.arrow", "parquet": "vectors.parquet"}[where]] == files(run_dir)
    before = {path.name: path.stat().st_mtime_ns for path in run_dir.glob("vectors*")}
    message = "has layout version 3, this expman reads versions up to 2"
    with pytest.raises(StorageError, match=message):
        Run(run_dir).vectors()
    with pytest.raises(StorageError, match=message):
        list(Run(run_dir).follow(timeout_s=0))
    (outcome,) = recover_here(str(run_base), any_host=True)
    assert not outcome.ok
    assert message in outcome
    assert before == {path.name: path.stat().st_mtime_ns for path in run_dir.glob("vectors*")}
    assert "RUNNING" == run_yaml(run_dir)["status"]
