"""run.yaml and the footer of vectors.parquet stay readable, whatever they are to hold."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from expman.metadata import RunMetadata
from expman.models import RunStatus
from expman.reading.expman_rs import load_run
from expman.reading.run import Run
from expman.storage import bounds
from expman.storage.bounds import MAX_TEXT, fitting, shortened
from expman.storage.vectors import RowBlock, VectorStore
from expman.storage.yamlfile import MAX_YAML_BYTES, RunFile

WHOLE, LESS = bounds.MAX_BYTES, 128 * 1024


def state(**fields: object) -> RunMetadata:
    meta = RunMetadata(name="r", experiment="e", status=RunStatus.FINISHED)
    for name, value in fields.items():
        setattr(meta, name, value)
    return meta


@pytest.mark.parametrize("length", [0, 1, MAX_TEXT, MAX_TEXT + 1, 3_000_000])
def test_a_long_text_is_cut(length: int) -> None:
    """It says how long it was, and differs where the texts differ, wherever that is."""
    text, other = "ü" * length, "ü" * (length - 1) + "x"
    cut = shortened(text)
    assert isinstance(cut, str)
    assert len(cut) <= MAX_TEXT
    assert cut == shortened(cut)
    assert (cut == text) == (length <= MAX_TEXT)
    assert cut != shortened(other)
    assert (f"({length:,} characters" in cut) == (length > MAX_TEXT)


def test_what_fits() -> None:
    """So many entries and bytes; one that is too large costs no later one."""
    many = {str(number): number for number in range(bounds.MAX_ENTRIES + 5)}
    assert list(many)[:-5] == list(fitting(many))
    large = {"a": 1, "b": "x" * bounds.MAX_BYTES, "c\x01" * bounds.MAX_BYTES: 2, "d": math.nan}
    assert ["a", "d"] == list(fitting(large))
    half = dict.fromkeys("abc", "x" * (bounds.MAX_BYTES // 2))
    assert ["a"] == list(fitting(half))


@pytest.mark.parametrize("text", ["\x01", "\u200b", "\U000e0001", "\ud800", "'", "\\", "a b", "é"])
def test_the_worst_that_fits_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Of every kind of character, filled to the bounds: the file stays below our reader's limit."""
    monkeypatch.setattr(bounds, "MAX_BYTES", LESS)
    long = text * (LESS // (len(ascii(text)) - 2) // 25)
    scalars = {f"{number}{text}": long for number in range(60)}
    vectors = {f"{number}{text * 40}": text * 300 for number in range(900)}
    RunFile(str(tmp_path)).write(state(scalars=scalars, vectors=vectors))
    size = (tmp_path / "run.yaml").stat().st_size
    assert LESS / 2 < size < MAX_YAML_BYTES * LESS / WHOLE
    found = RunFile(str(tmp_path)).read()
    assert 60 == len(found.scalars)
    assert 0 < found.scalars_left_out < 60


def test_scalars_that_do_not_fit_are_in_a_file_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every reader has all of them, of any kind; run.yaml counts those that it lacks."""
    monkeypatch.setattr(bounds, "MAX_BYTES", 1000)
    scalars = {
        "first": 1.5,
        "text": "é" * 1000,
        "number": -(2**200),
        "nan": math.nan,
        "last": True,
    }
    file = RunFile(str(tmp_path))
    meta = state(scalars=scalars)
    file.write(meta)
    assert 1 == meta.scalars_left_out
    assert ["text"] == list(json.loads((tmp_path / "scalars.json").read_text()))
    plain = yaml.load((tmp_path / "run.yaml").read_text(), yaml.CSafeLoader)
    assert (1, 4) == (plain["scalars_left_out"], len(plain["scalars"]))
    for found in (file.read().scalars, Run(tmp_path).scalars):
        assert repr(sorted(scalars.items())) == repr(sorted(found.items()))
    assert scalars["text"] == load_run(tmp_path)["scalars"]["text"]
    file.write(state(scalars={**scalars, "text": "short"}))
    assert not (tmp_path / "scalars.json").exists()
    assert "short" == file.read().scalars["text"]


def test_large_numbers_in_the_file_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An integer of any size comes back."""
    monkeypatch.setattr(bounds, "MAX_ENTRIES", 1)
    scalars = {"a": 1, "b": 10**5000, "c": -math.inf, "d": 2**63}
    RunFile(str(tmp_path)).write(state(scalars=scalars))
    assert scalars == RunFile(str(tmp_path)).read().scalars


def test_latest_texts_do_not_outgrow_the_footer(tmp_path: Path) -> None:
    """Arrow reads no footer beyond 100 MB: long texts are cut in it, and only there."""
    store = VectorStore(str(tmp_path))
    keys = tuple(f"text{number}" for number in range(4))
    store.append(RowBlock("main", 0, [0], [0], keys, [["x" * 300_000]] * 4))
    store.finish()
    assert all(len(str(value)) <= MAX_TEXT for value in store.latest.values())
    store.close()
    with (tmp_path / "vectors.parquet").open("rb") as file:
        file.seek(-8, 2)
        assert int.from_bytes(file.read(4), "little") < 10_000
    assert 300_000 == len(pq.read_table(tmp_path / "vectors.parquet")["text3"][0].as_py())
    assert store.latest == VectorStore(str(tmp_path)).latest
