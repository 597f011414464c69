"""Changes from the page: a live run's writer takes them, and nothing that was recorded is lost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from page_client import Browser, Serve, record
from run_files import run_yaml, wait_for_status

import expman
from expman.errors import ConfigError, StorageError
from expman.storage import run_edits
from expman.storage.run_edits import Edit, edit_run, remove_taken, take_edit
from expman.transport.recovery_lock import recovery_lock


def change(browser: Browser, **values: Any) -> Any:
    return browser.change("/api/run?run=exp/one", "PATCH", values)


def test_an_ended_run_is_changed_in_its_file(base: Path, serve: Serve) -> None:
    """What else run.yaml has stays, and nothing lies about afterwards."""
    run = base / "exp" / "one"
    before = run_yaml(run)
    browser = serve(base)

    answer = change(browser, description="why: <b>\n2", tags=["a", "b", "a"], notes="# notes")

    assert (200, False, "# notes") == (
        answer.status,
        answer.json["pending"],
        answer.json["notes"],
    )
    assert before | {"description": "why: <b>\n2", "tags": ["a", "b"]} == run_yaml(run)
    assert "# notes" == (run / "notes.md").read_text()
    assert [] == [name for name in os.listdir(run) if name.startswith(".")]
    row = browser.ask("/api/runs").json["runs"][0]
    assert (["a", "b"], "# notes") == (row["tags"], row["notes"])
    assert ["a", "b"] == expman.Run(run).tags
    assert 0.1 == expman.Run(run).best("loss", "min").value


def test_what_is_taken_away(base: Path, serve: Serve) -> None:
    """null and empty lists and texts remove."""
    browser = serve(base)
    change(browser, description="x", tags=["a"], notes="n")

    answer = change(browser, description=None, tags=[], notes="")

    assert 200 == answer.status
    found = run_yaml(base / "exp" / "one")
    assert (None, None) == (found["description"], found["tags"])
    assert not (base / "exp" / "one" / "notes.md").exists()


def test_a_live_run_is_changed_by_its_writer(
    tmp_path: Path, serve: Serve, standing_writer: None
) -> None:
    """The program's own tags stay unless they are replaced, and so does what it logs meanwhile."""
    config = expman.ExperimentConfig("exp", tmp_path, run_name="one", tags=["own"])
    with expman.LoggingEngine(config) as engine:
        engine.log_vector({"loss": 1.0}, 0)
        engine.flush()
        browser = serve(tmp_path)

        first = change(browser, description="from the page")
        live = run_yaml(engine.run_dir)
        engine.add_tags(["more"])
        engine.flush()
        second = change(browser, tags=["page"])
        engine.log_scalar("late", 1)
        run_dir = engine.run_dir

    assert [200, 200] == [first.status, second.status]
    assert ("RUNNING", "from the page", ["own"]) == (
        live["status"],
        live["description"],
        live["tags"],
    )
    found = wait_for_status(run_dir)
    assert ("from the page", ["page"], {"late": 1}) == (
        found["description"],
        found["tags"],
        found["scalars"],
    )
    assert [] == [name for name in os.listdir(run_dir) if "edit" in name]


def test_a_change_waits_for_a_writer(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose writer is gone keeps the request; several become one."""
    run = base / "exp" / "one"
    (run / "run.yaml").write_text((run / "run.yaml").read_text().replace("FINISHED", "RUNNING"))

    assert not edit_run(str(run), Edit(description="first"), recovery_lock, wait_s=0)
    assert not edit_run(str(run), Edit(tags=["t"]), recovery_lock, wait_s=0)
    assert not edit_run(str(run), Edit(description="second"), recovery_lock, wait_s=0)

    found = take_edit(str(run))
    assert Edit("second", ["t"]) == found
    assert found == take_edit(str(run))  # a successor of a killed writer
    remove_taken(str(run))
    assert take_edit(str(run)) is None


def test_a_request_that_came_while_one_was_taken(base: Path) -> None:
    """The later one counts, and the earlier one is not lost."""
    run = str(base / "exp" / "one")
    (base / "exp" / "one" / ".edit.json").write_text('{"description": "first", "tags": ["x"]}')
    take_edit(run)
    (base / "exp" / "one" / ".edit.json").write_text('{"description": "second"}')

    assert Edit("second", ["x"]) == take_edit(run)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"tags": "a"}', '{"status": "FINISHED"}', '{"tags": [" "]}', "\0"]
)
def test_a_request_that_cannot_be_understood_is_removed(base: Path, text: str) -> None:
    """It costs nothing else."""
    path = base / "exp" / "one" / ".edit.json"
    path.write_text(text)

    with pytest.raises(StorageError, match="is not a change of a run"):
        take_edit(str(path.parent))
    assert take_edit(str(path.parent)) is None


def test_a_link_in_place_of_a_request_is_not_followed(base: Path, tmp_path: Path) -> None:
    """Whoever planted it gets nothing into run.yaml."""
    (tmp_path / "aim").write_text('{"tags": ["planted"]}')
    (base / "exp" / "one" / ".edit.json").symlink_to(tmp_path / "aim")

    with pytest.raises(StorageError):
        take_edit(str(base / "exp" / "one"))
    assert (tmp_path / "aim").exists()
    assert take_edit(str(base / "exp" / "one")) is None


def test_a_live_run_of_expman_rs_is_left_alone(tmp_path: Path) -> None:
    """Its writer knows of no requests, and replaces run.yaml from its own memory."""
    run = tmp_path / "exp" / "rs"
    run.mkdir(parents=True)
    (run / "run.yaml").write_text("name: rs\nexperiment: exp\nstatus: RUNNING\n")

    with pytest.raises(StorageError, match="is written by expman-rs"):
        edit_run(str(run), Edit(description="x"), recovery_lock)
    assert ["run.yaml"] == os.listdir(run)
    (run / "run.yaml").write_text("name: rs\nexperiment: exp\nstatus: FINISHED\n")
    assert edit_run(str(run), Edit(description="x"), recovery_lock)
    assert "x" == run_yaml(run)["description"]


@pytest.mark.parametrize(
    "values",
    [
        {"status": "FINISHED"},
        {"tags": "a"},
        {"tags": [1]},
        {"tags": [""]},
        {"tags": ["x" * 1001]},
        {"tags": ["x"] * 1001},
        {"description": "x" * 100_001},
        {"description": 1},
        {"notes": "x" * 1_100_000},
    ],
)
def test_what_cannot_be_stored_is_refused(base: Path, serve: Serve, values: dict[str, Any]) -> None:
    """Nothing changes."""
    run = base / "exp" / "one"
    before = (run / "run.yaml").read_bytes()

    answer = change(serve(base), **values)

    assert (400, ["error"]) == (answer.status, list(answer.json))
    assert before == (run / "run.yaml").read_bytes()
    assert not (run / "notes.md").exists()


@pytest.mark.parametrize("body", [b"", b"x", b"[]", b"\xff", b"{" * 5000, b" " * 3_000_000])
def test_a_body_that_is_not_a_change(base: Path, serve: Serve, body: bytes) -> None:
    """Nor does a large one take memory."""
    answer = serve(base).change("/api/run?run=exp/one", "PATCH", body)

    assert answer.status in (400, 413)


def test_deletion_is_that_of_the_command(base: Path, serve: Serve) -> None:
    """A run that has ended goes with all its files, notes included; one that has not stays."""
    record(base, "two")
    live = base / "exp" / "two" / "run.yaml"
    live.write_text(live.read_text().replace("FINISHED", "RUNNING"))
    browser = serve(base)
    change(browser, notes="x")

    gone = browser.change("/api/run?run=exp/one", "DELETE")
    kept = browser.change("/api/run?run=exp/two", "DELETE")

    assert (200, False) == (gone.status, (base / "exp" / "one").exists())
    assert (409, "The run is RUNNING.") == (kept.status, kept.json["error"])
    assert ["exp/two"] == [run["id"] for run in browser.ask("/api/runs").json["runs"]]


def test_errors_of_the_values() -> None:
    """The same checks hold for whoever calls it."""
    with pytest.raises(ConfigError):
        Edit(tags=["\n"]).check()
    assert run_edits.MAX_TAGS == 1000
