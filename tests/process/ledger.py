"""What tests/programs/log_for_ledger.py logged, and whether a run's files have it: all, once.

The files are read with pyarrow alone, not with the reader of the package.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

__all__ = ["Ledger", "raw_rows"]

_ROWS, _LINES, _PARAMS, _SCALARS, _ARTIFACTS, _WAITS, _WORKER_ROWS, _WORKER_END = range(8)
_PRINTED, _MEDIA = 8, 9
_PRINTED_LINE = re.compile(r"^\[\S+\] \[err\] printed (\d+)$", re.MULTILINE)
_LINE = re.compile(r"^\[\S+\] \[INFO\] line (\d+)$", re.MULTILINE)


class Ledger:
    """The counts that a program keeps while it logs, and the checks against them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(bytes(8 * 10))
        self._has_room = True

    def options(self, base_dir: Path, **options: object) -> str:
        """The argument of log_for_ledger.py."""
        self._has_room = "max_buffer_bytes" not in options
        given = {"base_dir": str(base_dir), "ledger": str(self.path), **options}
        return msgspec.json.encode(given).decode()

    def _counts(self) -> list[int]:
        return memoryview(self.path.read_bytes()).cast("Q").tolist()

    @property
    def rows(self) -> int:
        """Calls of the owner's log_vector that returned."""
        return self._counts()[_ROWS]

    @property
    def worker_ended(self) -> bool:
        """Whether the forked worker has logged all its rows."""
        return bool(self._counts()[_WORKER_END])

    @property
    def waits(self) -> int:
        """How often a call of the owner's found the buffer full and waited for the writer."""
        return self._counts()[_WAITS]

    def check(
        self, run_dir: Path, status: str, *, killed: bool = False, worker_killed: bool = False
    ) -> dict[str, Any]:
        """Everything whose call returned is in the files once, in order; gives run.yaml.

        Args:
            run_dir: a run that has ended.
            status: what it must have.
            killed: the program may have been killed between a record and its count.
            worker_killed: the same for its worker.
        """
        run = yaml.safe_load((run_dir / "run.yaml").read_text())
        assert status == run["status"], run
        names = [path.name for path in run_dir.rglob("*")]
        assert [] == [name for name in names if ".arrow" in name or ".expman-" in name]
        assert [] == [name for name in names if ".corrupt" in name]
        rows = self._check_rows(run_dir, run, killed, worker_killed)
        assert rows == run["rows_written"], run
        assert rows + run["rows_dropped"] == run["rows_logged"], run
        assert 0 == run["rows_missing"], run
        self._check_others(run_dir, run, killed)
        check_samples(run_dir)
        return run

    def _check_rows(
        self, run_dir: Path, run: dict[str, Any], killed: bool, worker_killed: bool
    ) -> int:
        counts = self._counts()
        table = raw_rows(run_dir)
        producers = table["_producer"].to_numpy()
        expected = {"main": counts[_ROWS], "worker-0": counts[_WORKER_ROWS]}
        assert set(producers) <= set(expected)
        dropped = run["rows_dropped"]
        for producer, returned in expected.items():
            mine = table.filter(pa.array(producers == producer))
            check_values(mine, gaps=dropped > 0)
            got = mine.num_rows + dropped
            more = int(killed if producer == "main" else worker_killed)
            if dropped:  # by any of them
                assert mine.num_rows <= returned + more
            else:
                assert returned <= got <= returned + more, (producer, returned, got)
        total = counts[_ROWS] + counts[_WORKER_ROWS]
        assert total <= table.num_rows + dropped <= total + int(killed) + int(worker_killed)
        return table.num_rows

    def _check_others(self, run_dir: Path, run: dict[str, Any], killed: bool) -> None:
        counts, more = self._counts(), int(killed)
        log = run_dir / "run.log"
        lines = [int(number) for number in _LINE.findall(log.read_text())] if log.exists() else []
        assert list(range(len(lines))) == lines
        assert counts[_LINES] <= len(lines) <= counts[_LINES] + more
        self._check_console(run_dir, run, killed)
        config = run_dir / "config.yaml"
        params = yaml.safe_load(config.read_text()) if config.exists() else {}
        assert {f"p{number}": {"value": number} for number in range(len(params))} == params
        assert counts[_PARAMS] <= len(params) <= counts[_PARAMS] + more
        best = run["scalars"].get("best", -1) + 1
        assert counts[_SCALARS] <= best <= counts[_SCALARS] + more
        stored = {path.name: path.read_text() for path in (run_dir / "artifacts").rglob("*.txt")}
        wanted = {f"{k}.txt": f"artifact {k}\n" * 100 for k in range(0, counts[_ARTIFACTS], 5)}
        assert wanted.items() <= stored.items()
        assert len(stored) <= len(wanted) + more
        self._check_media(run_dir, run, killed)

    def _check_media(self, run_dir: Path, run: dict[str, Any], killed: bool) -> None:
        """Each medium is there once, as it was logged."""
        wanted = list(range(2, self._counts()[_MEDIA], 5))
        index = run_dir / "media.jsonl"
        lines = index.read_text().splitlines() if index.exists() else []
        items = [msgspec.json.decode(line) for line in lines]
        assert len({item["id"] for item in items}) == len({item["file"] for item in items})
        found = {tag: [i for i in items if i["tag"] == tag] for tag in ("sample/text", "sample")}
        path = run_dir / "histograms.parquet"
        rows = pq.read_table(path).to_pylist() if path.exists() else []
        steps = [sorted(item["step"] for item in some) for some in (*found.values(), rows)]
        for number, some in enumerate(steps):
            assert sorted(set(some)) == some
            if run["media_dropped"] or (not self._has_room and number == 1):
                assert len(some) <= len(wanted) + int(killed)
            else:
                assert wanted == some[: len(wanted)]
                assert len(some) <= len(wanted) + int(killed)
        for item in found["sample/text"]:
            assert f"text {item['step']}" == (run_dir / item["file"]).read_text()
        for item in found["sample"]:
            data = (run_dir / item["file"]).read_bytes()
            assert len(data) == item["bytes"]
            assert data.endswith(b"IEND" + bytes.fromhex("ae426082"))
            start = data.index(b"IDAT") + 4
            assert item["step"] % 256 == zlib.decompressobj().decompress(data[start:], 2)[1]
        assert all(f"[{row['step']},1]" == row["counts"] for row in rows)
        assert not (run_dir / ".artifacts-staging").exists()

    def _check_console(self, run_dir: Path, run: dict[str, Any], killed: bool) -> None:
        """Each printed line is there once; where the buffer was full, those that are not count."""
        printed = self._counts()[_PRINTED]
        path = run_dir / "console.log"
        text = path.read_text() if path.exists() else ""
        lines = [int(number) for number in _PRINTED_LINE.findall(text)]
        if self._has_room:
            assert list(range(len(lines))) == lines
            assert printed <= len(lines) <= printed + int(killed)
        else:
            assert sorted(set(lines)) == lines
            assert len(lines) <= printed + int(killed)
        if not killed:
            # A warning of expman's may be among the lost ones.
            assert len(lines) <= printed <= len(lines) + run["console_lines_lost"]


def check_samples(run_dir: Path) -> None:
    """The samples of the machine are there once, in order, as far as there are any."""
    path = run_dir / "system.parquet"
    if path.exists():
        steps = pq.read_table(path, columns=["step", "_seq"])
        assert list(range(steps.num_rows)) == steps["step"].to_pylist() == steps["_seq"].to_pylist()
    provenance = run_dir / "provenance.yaml"
    if provenance.exists():
        assert "log_for_ledger.py" in yaml.safe_load(provenance.read_text())["command"]


def check_values(rows: pa.Table, *, gaps: bool = False) -> None:
    """The rows of one producer are whole, in order and none is doubled or, but for gaps, left out.

    Every value follows from the row's number, so that a torn row shows.
    """
    seq = rows["_seq"].to_numpy()
    if gaps:
        assert np.all(np.diff(seq) > 0)
    else:
        assert np.array_equal(np.arange(len(seq)), seq)
    for name in ("step", "n"):
        if len(seq):
            assert np.array_equal(seq, rows[name].to_numpy()), name
    for name, others, divisor in (("half", seq % 7 == 0, 2), ("seventh", seq % 7 != 0, 7)):
        if len(seq[~others]):
            expected = np.where(others, np.nan, seq / divisor)
            assert np.array_equal(expected, rows[name].to_numpy().astype(float), equal_nan=True)
            if name == "seventh":
                wanted = [None if other else f"t{n}" for n, other in zip(seq, others, strict=True)]
                assert wanted == rows["text"].to_pylist()


def raw_rows(run_dir: Path) -> pa.Table:
    """All rows of vectors.parquet and then of the tail, up to its first torn byte.

    A tail may still be there after it was brought into vectors.parquet: those rows are left out.
    """
    path = run_dir / "vectors.parquet"
    tables = [pq.read_table(path, partitioning=None)] if path.exists() else []
    reach: dict[str, int] = {}
    for table in tables:
        for producer, seq in zip(
            table["_producer"].to_pylist(), table["_seq"].to_pylist(), strict=True
        ):
            reach[producer] = max(reach.get(producer, 0), seq + 1)
    for tail in sorted(run_dir.glob("vectors-*.arrow")):
        batches = list(_whole_batches(tail))
        if not batches:
            continue
        table = pa.Table.from_batches(batches)
        if reach:
            new = [
                seq >= reach.get(producer, 0)
                for producer, seq in zip(
                    table["_producer"].to_pylist(), table["_seq"].to_pylist(), strict=True
                )
            ]
            table = table.filter(pa.array(new, pa.bool_()))
        tables.append(table)
    if not tables:
        return pa.table({"_producer": pa.array([], pa.string()), "_seq": pa.array([], pa.int64())})
    return pa.concat_tables(tables, promote_options="permissive")


def _whole_batches(path: Path) -> Iterator[pa.RecordBatch]:
    try:
        with pa.ipc.open_stream(path) as stream:
            yield from stream
    except (pa.ArrowInvalid, OSError):
        return  # torn here, or at its very beginning
