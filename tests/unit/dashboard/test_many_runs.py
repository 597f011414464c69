"""Very many runs: the first answer has the newest ones, and the catalog spares reading them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from page_client import Serve

import expman
from expman.catalog import build
from expman.dashboard import catalog as catalog_file
from expman.dashboard.catalog import Catalog
from expman.dashboard.listed_records import ListedRecords
from expman.dashboard.run_record import record_of
from expman.reading.runyaml import RunYaml
from expman.storage.paths import replace_file


@pytest.fixture(autouse=True)
def few_are_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three runs are many; nothing is kept in the user's cache directory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(catalog_file, "FIRST_RUNS", 2)
    monkeypatch.setattr(catalog_file, "MOST_RUNS", 3)


def copies(base: Path, many: int) -> list[str]:
    """Makes runs of one that is there; returns their names, newest first."""
    names = []
    for number in range(many):
        home = base / "exp" / f"copy-{number}"
        shutil.copytree(base / "exp" / "one", home)
        yaml = home / "run.yaml"
        text = yaml.read_text().replace("name: one", f"name: copy-{number}")
        lines = [
            f"started_at: '2031-01-0{number + 1}T00:00:00.000000000Z'"
            if line.startswith("started_at:")
            else line
            for line in text.splitlines()
        ]
        replace_file(str(yaml), "\n".join(lines).encode())
        names.append(f"exp/copy-{number}")
    return names[::-1]


def ids(records: list[bytes]) -> list[str]:
    return [json.loads(one)["id"] for one in records]


def test_a_row_of_the_catalog_is_that_of_the_files(base: Path) -> None:
    """Parameters, numbers that are not finite, texts, tags and reasons are the same."""
    made = []
    for text in ("NaN", "x" * 1000, "plain"):
        with expman.init("exp", base_dir=str(base), tags=["a", "b"], group="g") as run:
            expman.log_params({"deep": {"lr": 0.1}, "inf": float("inf"), "text": text})
            expman.log_vector({"loss": float("nan"), "acc": 1.0}, 0)
        made.append(run.run_dir)
    build(str(base))
    listed = ListedRecords.open(str(base))
    assert listed is not None

    taken = []
    for run_dir in (str(base / "exp" / "one"), *made):
        found = listed.record(run_dir)
        taken.append(found is not None)
        expected = json.loads(record_of(run_dir, RunYaml(run_dir), 0.0))
        assert found is None or expected == json.loads(found[0])
    assert [True, False, False, True] == taken


def test_a_run_that_has_changed_is_read_from_its_directory(base: Path) -> None:
    """Neither its row nor that of a run whose file is a link is taken from the catalog."""
    copies(base, 2)
    build(str(base))
    changed, linked = (base / "exp" / f"copy-{number}" / "run.yaml" for number in range(2))
    replace_file(str(changed), changed.read_bytes().replace(b"FINISHED", b"FAILED"))
    moved = linked.rename(linked.with_name("moved"))
    os.symlink(moved, linked)
    catalog = Catalog(str(base))

    catalog.begin()
    while not catalog.is_complete:
        catalog.go_on()

    assert b'"FAILED"' in catalog.record("exp/copy-0")
    assert {"exp/one", "exp/copy-0", "exp/copy-1"} == set(catalog._runs)
    listed = ListedRecords.open(str(base))
    assert listed is not None
    assert [None, None] == [listed.record(str(path.parent)) for path in (changed, linked)]


def test_the_newest_runs_come_first(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are there before all others have been looked at; then come all, in several answers."""
    newest = copies(base, 6)
    build(str(base))
    catalog = Catalog(str(base))
    monkeypatch.setattr(catalog, "_directories", lambda: pytest.fail("looked at all runs"))

    catalog.begin()
    first = catalog.changes(None)

    assert (True, False) == (first.full, first.complete)
    assert newest[:2] == ids(first.records)
    monkeypatch.undo()
    found, version = set(ids(first.records)), first.version
    monkeypatch.setattr(catalog_file, "MOST_RUNS", 3)
    for _ in range(20):
        catalog.go_on()
        answer = catalog.changes(version)
        assert not answer.full
        assert len(answer.records) <= 3
        found |= set(ids(answer.records))
        version = answer.version
        if answer.complete:
            break
    assert {"exp/one", *newest} == found
    assert version == catalog.version


def test_what_was_deleted_meanwhile_goes(base: Path) -> None:
    """A run of the catalog whose directory is gone is in no answer."""
    newest = copies(base, 4)
    build(str(base))
    shutil.rmtree(base / newest[0])
    catalog = Catalog(str(base))

    catalog.begin()
    while not catalog.is_complete:
        catalog.go_on()

    assert {"exp/one", *newest[1:]} == set(catalog._runs)


def test_an_earlier_server_helps_without_a_catalog(base: Path, monkeypatch: Any) -> None:
    """Its rows are there at once, and those that changed come with the next answers."""
    monkeypatch.setattr(catalog_file, "FEWEST_RUNS", 1)
    newest = copies(base, 4)
    first = Catalog(str(base))
    first.begin()
    first.remember()
    shutil.rmtree(base / newest[0])
    catalog = Catalog(str(base))

    catalog.begin()
    answer = catalog.changes(None)
    while not catalog.is_complete:
        catalog.go_on()

    assert newest[:2] == ids(answer.records)
    assert [newest[0]] == catalog.changes(answer.version).removed or newest[0] not in catalog._runs


def test_a_page_hears_that_there_are_no_more(base: Path, serve: Serve) -> None:
    """The last event says so, even if no run has come since the one before."""
    copies(base, 6)
    build(str(base))
    browser = serve(base)
    first = browser.ask("/api/runs").json

    found = {run["id"] for run in first["runs"]}
    for kind, data in browser.events(f"/api/events?version={first['version']}"):
        if kind == "runs":
            assert not data["full"]
            found |= {run["id"] for run in data["runs"]}
            if data["complete"]:
                break
    assert 7 == len(found)
