"""Event files that torch 2.13.0 and tensorboard 2.21.0 have written, and damaged ones."""

from __future__ import annotations

import json
import shutil
import struct
from collections import Counter
from pathlib import Path

import pytest
from unit.importers.conftest import DATA, Import, damaged_files, import_anything

import expman
from expman.formats.protobuf import bytes_field, double_field, int_field
from expman.formats.tfrecord import read_tfrecords, tfrecord
from expman.importers.importing import Imported

FILES = sorted((DATA / "tensorboard").rglob("events*"))


@pytest.fixture
def made(importing: Import) -> dict[str, Imported]:
    return importing(DATA / "tensorboard")


def test_torch(made: dict[str, Imported]) -> None:
    """Scalars with their steps and times; images, sounds, histograms, curves; what is left out."""
    run = expman.Run(made["torch"].run_dir)
    rows = run.vectors().to_pylist()
    assert [1.0, 0.5] == [row["train/loss"] for row in rows[:2]]
    assert [0, 1, 2, 3, 4, 5, 3] == [row["step"] for row in rows]
    assert [1_700_000_000 + step for step in (0, 1, 2, 3, 4, 60, 3)] == [
        row["timestamp"].timestamp() for row in rows
    ]
    assert "größer, *better*" == rows[-1]["note/text_summary"]
    kinds = {(item.tag, item.kind, item.step) for item in run.media()}
    assert {("digit", "image", 2), ("beep", "audio", 3), ("pr", "table", 4)} == kinds
    assert all(Path(item.path).stat().st_size == item.bytes for item in run.media())
    (histogram,) = run.histograms()
    assert (5.0, -1.0, 2.0) == (histogram.total, histogram.edges[0], histogram.edges[-1])
    report = made["torch"].report
    assert report is not None
    assert ({"mesh": 1}, {"step": "step_"}) == (report.left_out, report.renamed)
    origin = json.loads(Path(run.path, "import.json").read_text())
    assert {"mesh": 1} == origin["left_out"]


def test_tensors(made: dict[str, Imported]) -> None:
    """TensorFlow 2 writes tensors: scalars, histograms, pictures, words, sounds, parameters."""
    run = expman.Run(made["tensors"].run_dir)
    rows = run.vectors().to_pylist()
    assert [0.5, 0.25] == [row["epoch_loss"] for row in rows[:2]]
    assert '[["a", "b"], ["c", "d"]]' == rows[-1]["words"]
    assert {"fast": True, "lr": 0.1, "opt": "adam"} == run.config
    (histogram,) = run.histograms()
    assert ([0.0, 1.0, 2.0, 3.0], [3, 0, 4]) == (histogram.edges, histogram.counts)
    assert ["pictures/0", "pictures/1", "sound"] == [item.tag for item in run.media()]


def test_short_scalars(importing: Import, tmp_path: Path) -> None:
    """The usual event is read by a pattern of its own; others that look like it are not."""

    def event(step: bytes, values: bytes) -> bytes:
        return tfrecord(double_field(1, 1.7e9) + step + bytes_field(5, values))

    def scalar(tag: str | bytes) -> bytes:
        return bytes_field(1, bytes_field(1, tag) + b"\x15" + struct.pack("<f", 0.5))

    hparam = bytes_field(9, bytes_field(1, bytes_field(1, "hparams")))
    events = [
        *(event(int_field(2, step), scalar("a")) for step in (1, 127, 128, 2**40, -1)),
        event(b"", scalar("no step")),
        event(int_field(2, 7), scalar("ä" * 30) + scalar("two")),
        event(int_field(2, 7), scalar("x" * 125)),
        event(int_field(2, 7), scalar(b"\x15\x0a")),
        event(int_field(2, 7), bytes_field(1, bytes_field(1, "session") + hparam)),
        event(int_field(2, 7), scalar("session")),
    ]
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "events.out.tfevents.1").write_bytes(b"".join(events))
    (made,) = importing(tmp_path / "logs").values()
    rows = expman.Run(made.run_dir).vectors().to_pylist()
    assert [1, 127, 128, 2**40, -1, 0, 7] == [row["step"] for row in rows]
    assert [0.5] * 5 == [row["a"] for row in rows[:5]]
    names = {name for row in rows for name, value in row.items() if value == 0.5}
    assert {"a", "no step", "ä" * 30, "two", "x" * 125, "\x15\x0a"} == names


def test_the_same_again(made: dict[str, Imported], importing: Import) -> None:
    """An import that is made again reads nothing, for no file has changed."""
    inode = Path(made["torch"].run_dir).stat().st_ino
    again = importing(DATA / "tensorboard")
    assert [None, None] == [found.report for found in again.values()]
    assert inode == Path(again["torch"].run_dir).stat().st_ino


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"by-{file.parent.name}")
def test_damaged_files(importing: Import, tmp_path: Path, file: Path) -> None:
    """Whatever is in the file, the import ends, with whole runs."""
    place = tmp_path / "logs" / file.name
    place.parent.mkdir()
    for data in damaged_files(file.read_bytes(), 1, 60):
        place.write_bytes(data)
        import_anything(importing, place.parent, "tensorboard")


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"by-{file.parent.name}")
def test_damaged_messages(importing: Import, tmp_path: Path, file: Path) -> None:
    """The same for damage inside of records whose checksums are right."""
    with file.open("rb") as opened:
        payloads = list(read_tfrecords(opened, Counter()))
    place = tmp_path / "logs" / file.name
    place.parent.mkdir()
    for number, payload in enumerate(payloads):
        damaged = damaged_files(payload, number, 10)
        place.write_bytes(b"".join(map(tfrecord, damaged)))
        import_anything(importing, place.parent, "tensorboard")
    shutil.rmtree(place.parent)
