"""The journal of a run: the latest state, whatever end it was given."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from expman.metadata import RunMetadata
from expman.models import Host, Rank, RunStatus
from expman.storage import journal
from expman.storage.journal import Journal, known_state, set_aside_damage
from expman.storage.yamlfile import RunFile

VALUES = {"a": 1.5, "b": True, "c": "text\n\x00 ü \ud800", "d": math.inf, "e": -(2**200), "f": 7}


def state(**fields: object) -> RunMetadata:
    meta = RunMetadata(
        name="r",
        experiment="e",
        description="what",
        tags=["x"],
        rank=Rank(rank=1),
        host=Host(hostname="h", pid=3),
    )
    for name, value in fields.items():
        setattr(meta, name, value)
    return meta


def test_latest_state(tmp_path: Path) -> None:
    """Each note replaces the keys and adds its scalars; types and odd values are kept."""
    written = Journal(str(tmp_path))
    written.note(state(scalars={"a": 0}), {})
    written.note(state(rows_logged=5), VALUES)
    written.note(state(rows_logged=6, status=RunStatus.FINISHED), {"f": 8})
    written.close()

    found = Journal(str(tmp_path)).read()

    assert state(rows_logged=6, status=RunStatus.FINISHED, scalars={**VALUES, "f": 8}) == found
    assert {type(value) for value in VALUES.values()} == set(map(type, found.scalars.values()))


def test_cut_anywhere(tmp_path: Path) -> None:
    """Cut at any byte, or zeroed behind it, it gives the state of the last whole line."""
    written = Journal(str(tmp_path))
    ends = []
    for number in range(4):
        written.note(state(rows_logged=number), {"n": number})
        ends.append((tmp_path / ".run.journal").stat().st_size)
    written.close()
    data = (tmp_path / ".run.journal").read_bytes()
    for cut in range(len(data)):
        for rest in (b"", bytes(len(data) - cut)):
            (tmp_path / ".run.journal").write_bytes(data[:cut] + rest)
            found = Journal(str(tmp_path)).read()
            whole = sum(end - (not rest) <= cut for end in ends)
            assert (found.rows_logged if found else -1) == whole - 1, cut


def test_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written anew once it has grown, and has all scalars then."""
    monkeypatch.setattr(journal, "LARGE_BYTES", 5000)
    written = Journal(str(tmp_path))
    scalars: dict[str, object] = {}
    for number in range(500):
        scalars[f"s{number % 10}"] = number
        written.note(state(scalars=dict(scalars)), {f"s{number % 10}": number})
        assert (tmp_path / ".run.journal").stat().st_size < 10_000
    assert scalars == Journal(str(tmp_path)).read().scalars


def test_removed_by_somebody(tmp_path: Path) -> None:
    """The next note has everything again."""
    written = Journal(str(tmp_path))
    written.note(state(scalars={"a": 1}), {})
    (tmp_path / ".run.journal").unlink()
    written.note(state(scalars={"a": 1, "b": 2}), {"b": 2})
    assert {"a": 1, "b": 2} == Journal(str(tmp_path)).read().scalars


@pytest.mark.parametrize(
    "damage", [b"\0" * 300, b"status: RUNN\n  - [", b"rows_logged: many\n", b"- 1\n"]
)
def test_damaged_run_yaml(tmp_path: Path, damage: bytes) -> None:
    """It is kept under another name; the journal knows the rest."""
    written = Journal(str(tmp_path))
    written.note(state(scalars={"a": 1}), {})
    RunFile(str(tmp_path)).write(state())
    assert set_aside_damage(str(tmp_path)) is None
    (tmp_path / "run.yaml").write_bytes(damage)

    said = set_aside_damage(str(tmp_path))

    assert "run.yaml.corrupt, its content comes from its journal" in said
    assert damage == (tmp_path / "run.yaml.corrupt").read_bytes()
    assert state(scalars={"a": 1}) == known_state(str(tmp_path))


@pytest.mark.parametrize("kind", ["link", "rubbish", "nothing"])
def test_no_journal(tmp_path: Path, kind: str) -> None:
    """What is not a journal is not believed: run.yaml counts."""
    path = tmp_path / ".run.journal"
    if kind == "link":
        (tmp_path / "other").write_text("x")
        path.symlink_to(tmp_path / "other")
    elif kind == "rubbish":
        path.write_bytes(bytes(range(256)))
    RunFile(str(tmp_path)).write(state(scalars={"a": 2}))
    assert state(scalars={"a": 2}) == known_state(str(tmp_path))
    written = Journal(str(tmp_path))
    written.note(state(scalars={"a": 3}), {})
    assert {"a": 3} == known_state(str(tmp_path)).scalars
    assert not path.is_symlink()


def test_a_file_cut_at_a_lines_end_is_said(tmp_path: Path) -> None:
    """It is good YAML: what it lacks comes from the journal, and what that was is said."""
    written = Journal(str(tmp_path))
    meta = state(rows_logged=5, scalars=VALUES)
    written.note(meta, {})
    written.close()
    RunFile(str(tmp_path)).write(meta)
    assert set_aside_damage(str(tmp_path)) is None
    lines = (tmp_path / "run.yaml").read_bytes().splitlines(keepends=True)
    (tmp_path / "run.yaml").write_bytes(b"".join(lines[:5]))
    said = set_aside_damage(str(tmp_path))
    assert said is not None
    assert "was cut off: it lacked" in said
    assert "rows_logged" in said
    assert 5 == known_state(str(tmp_path)).rows_logged
