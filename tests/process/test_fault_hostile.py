"""Hostile files and damaged memory: nothing is written outside, no writer ends, rows are kept."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from process.faulty import (
    TIMEOUT_S,
    Obeying,
    check_finished,
    check_values,
    read_raw,
)
from process.runs import run_yaml, wait_for_end, wait_until

BOMB = "a: &a [x, x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}, *{a}, *{a}]\n"
    for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
RUBBISH = bytes(range(256)) * 8
NAMES = {
    "run.yaml": True,
    "config.yaml": True,
    "vectors.parquet": True,
    "vectors-0002.arrow": True,
    "../experiment.yaml": True,
    "run.log": True,
    "artifacts": False,
    ".artifacts-staging": True,
}
"""Where something is planted, and whether the writer helps itself."""


def look(directory: Path) -> dict[str, bytes | int]:
    """What is in a directory, and how often each file is linked."""
    found: dict[str, bytes | int] = {}
    for path in directory.rglob("*"):
        found[str(path)] = path.read_bytes() if path.is_file() else 0
        found[f"{path} links"] = path.lstat().st_nlink
    return found


@pytest.mark.parametrize("moment", ["first", "live"])
def test_planted_links(program, run_base: Path, tmp_path: Path, moment: str):
    """Links in a run's directory are replaced or refused, never followed out of it."""
    trainer = Obeying(program, run_base)
    for number, (name, heals) in enumerate(NAMES.items()):
        outside = tmp_path / f"outside-{number}"
        (outside / "below").mkdir(parents=True)
        target = outside / "file"
        target.write_text("precious: true\n")
        if name in ("artifacts", ".artifacts-staging"):
            target = outside
        before = look(outside)
        run_dir = trainer.open(f"run-{number}")
        logged = []
        if moment == "live":
            logged.append(trainer("more 10")["logged"])
            trainer("flush 120")
        planted = run_dir / name
        if planted.is_dir():
            planted.rename(planted.with_name("aside"))
        else:
            planted.unlink(missing_ok=True)
        planted.symlink_to(target)
        logged.append(trainer("more 10")["logged"])
        if not heals:
            wait_until(
                lambda p=str(planted): p in (trainer.try_(f"flush {TIMEOUT_S}")["error"] or ""),
                "an error that names the link",
            )
            assert before == look(outside)
            planted.unlink()
        trainer("close 120")
        assert before == look(outside), name
        run = wait_for_end(run_dir)
        assert "FINISHED" == run["status"]
        if not (moment == "live" and name == "vectors.parquet"):
            check_values(read_raw_of(run_dir, name), np.arange(logged[-1]))
        if name == "config.yaml":
            assert "precious" not in planted.read_text()
        if name != "../experiment.yaml":
            assert not planted.is_symlink() or name in (".artifacts-staging", "vectors-0002.arrow")


def read_raw_of(run_dir: Path, name: str):
    if name.endswith(".arrow"):
        (run_dir / name).unlink(missing_ok=True)  # the planted one was left alone or set aside
    return read_raw(run_dir)


@pytest.mark.parametrize("content", [RUBBISH, BOMB.encode(), b"", b"- 1\n- 2\n"])
def test_rubbish_in_files(program, run_base: Path, content: bytes):
    """Files that somebody overwrote with rubbish, even a YAML bomb, end no writer."""
    trainer = Obeying(program, run_base)
    run_dir = trainer.open()
    trainer("more 10")
    trainer("flush 120")
    for name in ("run.yaml", "config.yaml", "vectors-0007.arrow", "rubbish.parquet"):
        (run_dir / name).write_bytes(content)
    trainer("more 10")
    trainer("flush 120")
    trainer("close 120")
    (run_dir / "vectors-0007.arrow").unlink()
    check_finished(run_dir, 20)
    assert {"p20": 20} == yaml.safe_load((run_dir / "config.yaml").read_text())
    if content:
        assert content == (run_dir / "config.yaml.corrupt").read_bytes()
        assert "config.yaml.corrupt" in (run_dir / "run.log").read_text()


@pytest.mark.parametrize("way", ["rubbish", "link", "pipe"])
def test_vectors_replaced(program, run_base: Path, tmp_path: Path, way: str):
    """A vectors.parquet that is none any more costs its own rows; run.yaml and run.log say so."""
    trainer = Obeying(program, run_base)
    run_dir = trainer.open()
    trainer("log 10")
    trainer("flush 120")
    parquet = run_dir / "vectors.parquet"
    wait_until(lambda: parquet.exists() and not list(run_dir.glob("*.arrow")), "the first rewrite")
    if way == "rubbish":
        parquet.write_bytes(RUBBISH)
    elif way == "link":
        parquet.rename(tmp_path / "elsewhere.parquet")
        parquet.symlink_to(tmp_path / "elsewhere.parquet")
    else:
        parquet.unlink()
        os.mkfifo(parquet)
    trainer("log 10")
    assert "10 rows are missing" in trainer.try_("close 120")["error"]
    run = run_yaml(run_dir)
    assert ("FINISHED", 10, 10) == (run["status"], run["rows_written"], run["rows_missing"])
    check_values(read_raw(run_dir), np.arange(10, 20))
    assert os.path.lexists(run_dir / "vectors.parquet.corrupt")
    log = (run_dir / "run.log").read_text()
    assert "damaged by somebody" in log
    assert "10 rows were logged and are not in the files" in log


@pytest.mark.parametrize("area", ["index", "data", "term", "control", "address"])
def test_corrupt_memory(program, tmp_path: Path, area: str):
    """Bits flipped and words overwritten while runs are live: untouched rows are kept."""
    rounds = 12
    flipping = program("corrupt_memory.py", tmp_path, area, 0, rounds)
    told = json.loads(flipping.succeed().splitlines()[-1])
    assert rounds == told["rounds"]
    assert ["corrupt"] == [path.name for path in tmp_path.iterdir() if path.is_dir()]


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("area", ["index", "data", "term", "control", "address"])
def test_corrupt_memory_at_length(program, tmp_path: Path, area: str):
    """The same, 500 times each."""
    flipping = program("corrupt_memory.py", tmp_path, area, 10_000, 500)
    told = json.loads(flipping.succeed(600).splitlines()[-1])
    print(area, told)
    assert 500 == told["rounds"]
