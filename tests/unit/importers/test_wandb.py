"""Files that wandb 0.31.0 has written in offline mode, and damaged ones."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path

from unit.importers.conftest import DATA, Import, damaged_files, import_anything

import expman
from expman.formats.protobuf import bytes_field
from expman.formats.record_log import log_file, read_log
from expman.models import RunStatus

STORE = DATA / "wandb"
FOLDER = STORE / "offline-run-20260101_000000-complete"
FILE = FOLDER / "run-complete.wandb"


def records(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        return list(read_log(file, Counter()))


def test_a_whole_run(importing: Import) -> None:
    """History, config, summary, console, samples, media, saved files, and how it ended."""
    made = importing(FOLDER)["first_try"]
    run = expman.Run(made.run_dir)
    rows = run.vectors().to_pylist()
    assert [0, 1, 2, 3, 4] == [row["step"] for row in rows]
    assert [1.0, 0.5] == [row["train/loss"] for row in rows[:2]]
    assert [0.0, 0.1] == [row["nested/acc"] for row in rows[:2]]
    assert ("t1", False, 4) == (rows[1]["text"], rows[1]["flag"], int(rows[4]["odd"]))
    assert rows[2]["odd"] != rows[2]["odd"]
    assert all(one["timestamp"] <= two["timestamp"] for one, two in pairwise(rows))
    assert {"lr": 0.1, "model": {"layers": [64, 32]}, "late": 3, "job_type": "train"} == run.config
    meta = run.metadata
    assert (RunStatus.FAILED, "exit code 3") == (meta.status, meta.reason)
    assert ("a note", ["a", "b"], "g1") == (meta.description, meta.tags, meta.group)
    assert {"best": 0.5} == meta.scalars
    assert ["hello from the program", "100 %"] == [line.text for line in run.console()]
    assert ["title: text"] == [entry.message for entry in run.log()]
    kinds = Counter((item.tag, item.kind) for item in run.media())
    expected = {("img", "image"): 1, ("two", "image"): 2, ("table", "table"): 1}
    assert {**expected, ("html", "text"): 1, ("beep", "audio"): 1} == kinds
    (histogram,) = run.histograms()
    assert ([0.0, 1.0, 2.0, 3.0], [1, 2, 0]) == (histogram.edges, histogram.counts)
    assert (Path(run.path) / "artifacts" / "model.txt").read_text() == "weights"
    assert (Path(run.path) / "system.parquet").exists()
    assert made.report is not None
    assert 1 == made.report.left_out["references in artifacts"]


def test_a_run_that_was_killed(importing: Import, tmp_path: Path) -> None:
    """Its rows are there, and it is CRASHED; so it is when its file is empty."""
    place = tmp_path / "run-x.wandb"
    data = FILE.read_bytes()
    place.write_bytes(data[: len(data) // 3])
    (made,) = importing(place).values()
    run = expman.Run(made.run_dir)
    assert RunStatus.CRASHED == run.status
    assert 0 < made.rows
    assert made.report is not None
    assert set(made.report.left_out) & {"bytes of a record that is cut off"}

    (made,) = importing(STORE / "offline-run-20260101_000000-killed00").values()
    assert (0, RunStatus.CRASHED) == (made.rows, expman.Run(made.run_dir).status)


def test_a_run_that_was_resumed(importing: Import, tmp_path: Path) -> None:
    """Several files of one run are one run; two runs of one name are two."""
    for name in ("offline-run-1", "offline-run-2"):
        shutil.copytree(FOLDER, tmp_path / "wandb" / name)
    (made,) = importing(tmp_path / "wandb").values()
    assert 10 == made.rows


def test_records_of_many_blocks() -> None:
    """Records longer than a block, and headers that do not fit into the rest of one."""
    wanted = [bytes([number % 251]) * number for number in (0, 1, 32748, 5, 70_000, 32_761, 3)]
    for extra in range(10):
        found = log_file([bytes(extra), *wanted])
        path = Path(f"/proc/self/fd/{_memory(found)}")
        assert [bytes(extra), *wanted] == records(path)


def _memory(data: bytes) -> int:
    fd = os.memfd_create("log")
    os.write(fd, data)
    return fd


def test_names_of_many_levels(importing: Import, tmp_path: Path) -> None:
    """However deep a name or a value is nested."""
    keys = b"".join(bytes_field(2, "k") for _ in range(5000))
    item = bytes_field(1, keys + bytes_field(16, "1"))
    deep = bytes_field(1, bytes_field(1, "deep") + bytes_field(16, "[" * 900 + "]" * 900))
    records = [bytes_field(2, item), bytes_field(5, item + deep), bytes_field(3, item)]
    path = tmp_path / "run-x.wandb"
    path.write_bytes(log_file(records))
    (made,) = importing(path).values()
    assert 1 == made.rows


def test_damage_costs_a_block(tmp_path: Path) -> None:
    """Behind damage the next block is read."""
    data = bytearray(log_file([b"x" * 1000] * 100))
    data[1500] ^= 1
    path = tmp_path / "x"
    path.write_bytes(data)
    left_out: Counter[str] = Counter()
    with path.open("rb") as file:
        found = list(read_log(file, left_out))
    assert 60 < len(found) < 70
    assert 2 == left_out["damaged records"]


def test_damaged_files(importing: Import, tmp_path: Path) -> None:
    """Whatever is in the file, the import ends, with whole runs."""
    place = tmp_path / "run" / "run-x.wandb"
    shutil.copytree(FOLDER, place.parent)
    for data in damaged_files(FILE.read_bytes(), 1, 12):
        place.write_bytes(data)
        import_anything(importing, place.parent, "wandb")


def test_damaged_messages(importing: Import, tmp_path: Path) -> None:
    """The same for damage inside of records whose checksums are right."""
    found = [
        damaged
        for number, data in enumerate(records(FILE))
        for damaged in damaged_files(data, number, 3)
    ]
    place = tmp_path / "run" / "run-x.wandb"
    shutil.copytree(FOLDER, place.parent)
    for start in range(0, len(found), 12):
        place.write_bytes(log_file([records(FILE)[0], *found[start : start + 12]]))
        import_anything(importing, place.parent, "wandb")


def test_provenance(importing: Import, tmp_path: Path) -> None:
    """From the record of wandb 0.31, or from the file that 0.16 wrote; packages if listed."""
    run = expman.Run(importing(FOLDER)["first_try"].run_dir)
    assert {"path": "/tmp/env/bin/python", "version": "3.11.7"} == run.provenance["interpreter"]

    place = tmp_path / "run" / "run-x.wandb"
    (place.parent / "files").mkdir(parents=True)
    place.write_bytes(log_file([bytes_field(17, bytes_field(1, "old"))]))
    known = {"python": "3.9.1", "program": "train.py", "args": ["--lr", "1"], "host": "h"}
    text = json.dumps({**known, "git": {"commit": "abc", "remote": "https://example.com/x"}})
    (place.parent / "files" / "wandb-metadata.json").write_text(text)
    (place.parent / "files" / "requirements.txt").write_text("numpy==1.0\n-e .\n")
    (made,) = importing(place).values()
    provenance = expman.Run(made.run_dir).provenance
    assert ("train.py --lr 1", "h") == (provenance["command"], provenance["hostname"])
    assert {"commit": "abc", "remote": "https://example.com/x"} == provenance["git"]
    assert {"numpy": "1.0"} == provenance["packages"]
