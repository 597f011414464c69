"""clean and rm: only ended runs of expman at their place are deleted, and nothing behind a link."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from cli.conftest import Expman
from unit.reading.run_files import block, make_run

import expman
from expman.models import RunStatus


@pytest.fixture
def base(run_base: Path) -> Path:
    """Three runs that have ended."""
    for number in range(3):
        began = f"2026-01-0{number + 1}T00:00:00Z"
        make_run(run_base, f"r{number}", block(0, {"x": [1.0]}), started_at=began)
    return run_base


def all_files(directory: Path) -> set[Path]:
    return {path for path in directory.rglob("*") if path.is_file()}


def test_rm_refuses(expman_command: Expman, base: Path, tmp_path: Path) -> None:
    """A run that says RUNNING, a link and what is no run are refused, and nothing is deleted."""
    make_run(base, "live", status=RunStatus.RUNNING)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "vectors.parquet").touch()
    (tmp_path / "link").symlink_to(base / "exp" / "r0")
    before = all_files(tmp_path)
    for run, reason in (
        ("live", "is RUNNING"),
        ("./data", "has no run.yaml, so it may not be a run; delete it with rm -r"),
        ("./link", "symbolic link"),
    ):
        result = expman_command("rm", "-y", "r1", run, base_dir=base)
        assert (1, True) == (result.code, reason in result.err), result.err
    assert before == all_files(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "status: finished\n",
        "name: other\nexperiment: exp\nstatus: FINISHED\n",
        "name: r0\nexperiment: other\nstatus: FINISHED\n",
        "name: r0\nexperiment: exp\nstatus: DONE\n",
        "[",
    ],
)
def test_a_run_yaml_of_elsewhere_is_no_mark(expman_command: Expman, base: Path, text: str) -> None:
    """Only a run.yaml that names this very place says that a directory is ours to delete."""
    (base / "exp" / "r0" / "run.yaml").write_text(text)
    before = all_files(base)

    assert 1 == expman_command("rm", "-y", str(base / "exp" / "r0")).code
    expman_command("clean", "-k", "2", "--force", base_dir=base)

    assert before == all_files(base)


def test_files_of_others_are_not_deleted_unasked(expman_command: Expman, base: Path) -> None:
    """What expman did not write is named, and goes only if that is asked for."""
    mine = base / "exp" / "r0" / "paper.tex"
    mine.write_text("years of work")

    refused = expman_command("rm", "-y", "r0", base_dir=base)
    assert (1, True) == (
        refused.code,
        "paper.tex; delete them, too, with --all-files" in refused.err,
    )
    cleaned = expman_command("clean", "-k", "0", "--force")
    assert (0, True) == (cleaned.code, "paper.tex" in cleaned.err)
    assert {mine.parent} == set((base / "exp").iterdir())

    assert 0 == expman_command("rm", "-y", "--all-files", "r0").code
    assert set() == set((base / "exp").iterdir())


@pytest.mark.parametrize("level", ["experiment", "run", "files"])
def test_links_are_not_followed(
    expman_command: Expman, base: Path, tmp_path: Path, level: str
) -> None:
    """A linked experiment, run, directory or file: what is behind it stays."""
    elsewhere = tmp_path / "elsewhere"
    match level:
        case "experiment":
            make_run(elsewhere, "old", block(0, {"x": [1.0]}), experiment="shared")
            (base / "shared").symlink_to(elsewhere / "shared")
        case "run":
            make_run(elsewhere, "old", block(0, {"x": [1.0]}))
            (base / "exp" / "old").symlink_to(elsewhere / "exp" / "old")
        case "files":
            elsewhere.mkdir()
            (elsewhere / "weights").write_text("x")
            (base / "exp" / "r0" / "artifacts").symlink_to(elsewhere)
            (base / "exp" / "r1" / "run.log").symlink_to(elsewhere / "weights")
    before = all_files(elsewhere)

    result = expman_command("clean", "-k", "0", "--force", base_dir=base)

    assert 0 == result.code
    assert before == all_files(elsewhere) != set()
    assert {"r0", "r1", "r2"}.isdisjoint(path.name for path in (base / "exp").iterdir())
    if level != "files":
        assert "is reached through a symbolic link" in result.err


@pytest.mark.parametrize("level", ["experiment", "run"])
def test_a_link_that_comes_between_is_not_followed(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    """The directory that was looked at is deleted, or none, whatever has its name by then."""
    from expman import deletion

    other = make_run(tmp_path / "elsewhere", "r0", block(0, {"x": [1.0]}))
    before = all_files(other)
    victim = base / "exp" if level == "experiment" else base / "exp" / "r0"
    look = deletion.lanes_of

    def replace_and_look(path: str) -> list[object]:
        victim.rename(tmp_path / "moved")
        victim.symlink_to(other.parent if level == "experiment" else other)
        return list(look(path))

    monkeypatch.setattr(deletion, "lanes_of", replace_and_look)
    if level == "experiment":
        deletion.delete(expman.Run(base / "exp" / "r0"))
        assert not (tmp_path / "moved" / "r0").exists()
    else:
        with pytest.raises(deletion.NotDeletedError, match="replaced just now"):
            deletion.delete(expman.Run(base / "exp" / "r0"))
        assert victim.is_symlink()
    assert before == all_files(other)


def test_a_base_directory_may_be_a_link(expman_command: Expman, base: Path, tmp_path: Path) -> None:
    """The base directory is what the user named: often a link to a large disk."""
    (tmp_path / "link").symlink_to(base)

    assert 0 == expman_command("clean", "-k", "1", "--force", base_dir=tmp_path / "link").code

    assert ["r2"] == [path.name for path in (base / "exp").iterdir()]


def test_a_deletion_that_was_killed_is_finished(expman_command: Expman, base: Path) -> None:
    """What it had renamed is in no list, and goes with the next clean; like names stay."""
    shutil.move(base / "exp" / "r0", base / "exp" / f".expman-deleting-{'0' * 16}")
    (base / "exp" / ".expman-deleting-mine").mkdir()

    expman_command("clean", "--force", base_dir=base)

    assert {"r1", "r2", ".expman-deleting-mine"} == set(os.listdir(base / "exp"))


def test_the_longest_name_can_be_deleted(expman_command: Expman, base: Path) -> None:
    """The hidden name has room where the run's own name has all of it."""
    name = "n" * 255
    make_run(base, name, block(0, {"x": [1.0]}))

    assert 0 == expman_command("rm", "-y", name, base_dir=base).code
    assert {"r0", "r1", "r2"} == set(os.listdir(base / "exp"))


def test_a_path_means_what_the_system_means(
    expman_command: Expman, base: Path, tmp_path: Path
) -> None:
    """`link/../r1` is beside the directory that the link leads to, not beside the link."""
    decoy = make_run(tmp_path.parent, "r1", block(0, {"x": [1.0]}), experiment=tmp_path.name)
    (tmp_path / "link").symlink_to(base / "exp" / "r0")

    assert 0 == expman_command("rm", "-y", "link/../r1").code

    assert decoy.exists()
    assert {"r0", "r2"} == set(os.listdir(base / "exp"))
