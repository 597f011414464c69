"""Artifacts: where they may land, what a snapshot keeps, what the copy does."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from expman.errors import StorageError
from expman.storage import artifacts


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    path.mkdir()
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "model.bin"
    path.write_bytes(b"weights")
    return path


def take(source: Path, run_dir: Path) -> str | None:
    return artifacts.snapshot(str(source), artifacts.staging_dir(str(run_dir)))


def keep(source: Path | str | None, run_dir: Path, target: str) -> list[str]:
    return artifacts.store(str(source), str(run_dir), target)


@pytest.mark.parametrize(
    ("path", "name", "expected"),
    [
        ("model.bin", None, "model.bin"),
        ("out/./best//model.bin", None, "out/best/model.bin"),
        ("/data/out/model.bin", None, "model.bin"),
        ("/data/out/", None, "out"),
        ("model.bin", "last.bin", "last.bin"),
        ("/data/model.bin", "checkpoints/last.bin", "checkpoints/last.bin"),
        ("../model.bin", "model.bin", "model.bin"),
        ("a..b", None, "a..b"),
        ("...", None, "..."),
        ("größe/日本", None, "größe/日本"),
        ("a\\..\\b", None, "a\\..\\b"),
        ("\n", None, "\n"),
    ],
)
def test_where_a_file_goes(path: str, name: str | None, expected: str) -> None:
    """A relative path keeps its folders, an absolute one its last name; a name overrides."""
    assert expected == artifacts.artifact_target(path, name)


@pytest.mark.parametrize(
    ("path", "name", "rule"),
    [
        ("../model.bin", None, "must not contain '..'"),
        ("a/../../model.bin", None, "must not contain '..'"),
        ("model.bin", "../model.bin", "must not contain '..'"),
        ("model.bin", "a/..", "must not contain '..'"),
        ("model.bin", "/etc/passwd", "must not be an absolute path"),
        ("model.bin", "a\0b", "must not contain NUL"),
        (".", None, "has no name of its own"),
        ("", None, "has no name of its own"),
        ("/", None, "has no name of its own"),
        ("model.bin", "", "has no name of its own"),
        ("model.bin", "./.", "has no name of its own"),
        ("model.bin", "x" * 256, "longer than 255 bytes"),
        ("model.bin", "a/" + "ü" * 128, "longer than 255 bytes"),
        ("model.bin", ".expman-tmp-1", "must not start with .expman-tmp-"),
        ("mod\udc80.bin", None, "no UTF-8"),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(path: str, name: str | None, rule: str) -> None:
    """The error shows the name and says the rule."""
    with pytest.raises(ValueError, match="artifact") as caught:
        artifacts.artifact_target(path, name)
    assert rule in str(caught.value)


def test_a_file_is_copied(source: Path, run_dir: Path) -> None:
    """Content and folders; the source stays, and nothing else is left."""
    assert [] == keep(source, run_dir, "a/b/model.bin")
    assert b"weights" == (run_dir / "artifacts/a/b/model.bin").read_bytes()
    assert b"weights" == source.read_bytes()
    assert ["model.bin"] == os.listdir(run_dir / "artifacts/a/b")


def test_the_same_name_twice(source: Path, run_dir: Path) -> None:
    """The later file replaces the earlier one; who has that one open keeps it."""
    keep(source, run_dir, "model.bin")
    with (run_dir / "artifacts/model.bin").open("rb") as file:
        source.write_bytes(b"better weights")
        keep(source, run_dir, "model.bin")
        assert b"weights" == file.read()
    assert b"better weights" == (run_dir / "artifacts/model.bin").read_bytes()


@pytest.mark.parametrize("change", ["delete", "replace", "rename"])
def test_a_snapshot_survives_what_comes_after_the_call(
    source: Path, run_dir: Path, change: str
) -> None:
    """Deleting, replacing or renaming the source does not change what is stored."""
    staged = take(source, run_dir)
    assert staged is not None
    match change:
        case "delete":
            source.unlink()
        case "replace":
            other = source.with_suffix(".new")
            other.write_bytes(b"other")
            other.replace(source)
        case "rename":
            source.rename(source.with_suffix(".old"))
    keep(staged, run_dir, "model.bin")
    assert b"weights" == (run_dir / "artifacts/model.bin").read_bytes()
    assert [] == os.listdir(artifacts.staging_dir(str(run_dir)))


def test_a_tree_survives_what_comes_after_the_call(tmp_path: Path, run_dir: Path) -> None:
    """So does a directory: what was in it at the call is stored."""
    tree = tmp_path / "tree"
    (tree / "deep/er").mkdir(parents=True)
    (tree / "deep/er/a.txt").write_text("a")
    (tree / "b.txt").write_text("b")
    (tree / "empty").mkdir()
    staged = take(tree, run_dir)
    (tree / "deep/er/a.txt").unlink()
    (tree / "c.txt").write_text("c")
    assert [] == keep(staged, run_dir, "tree")
    stored = run_dir / "artifacts/tree"
    expected = ["b.txt", "deep", "deep/er", "deep/er/a.txt", "empty"]
    assert expected == sorted(str(path.relative_to(stored)) for path in stored.rglob("*"))
    assert "a" == (stored / "deep/er/a.txt").read_text()


def test_the_staging_directory_is_the_users_own(source: Path, run_dir: Path) -> None:
    """Snapshots wait where nobody else may look."""
    take(source, run_dir)
    assert 0o700 == stat.S_IMODE((run_dir / ".artifacts-staging").stat().st_mode)


def test_no_snapshot_where_links_are_impossible(
    source: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another file system there is none, nothing is left, and the source is copied."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", fail)
    monkeypatch.setattr(artifacts.fcntl, "ioctl", fail)
    assert take(source, run_dir) is None
    assert [] == os.listdir(artifacts.staging_dir(str(run_dir)))


def test_storing_again_is_harmless(source: Path, run_dir: Path) -> None:
    """A successor that repeats a copy finds the snapshot gone and the target there."""
    staged = take(source, run_dir)
    keep(staged, run_dir, "model.bin")
    assert [] == keep(staged, run_dir, "model.bin")
    assert b"weights" == (run_dir / "artifacts/model.bin").read_bytes()


def test_a_source_that_vanished(source: Path, run_dir: Path) -> None:
    """Without a snapshot it is an error that names the file, and an older artifact stays."""
    keep(source, run_dir, "model.bin")
    source.unlink()
    with pytest.raises(StorageError) as caught:
        keep(source, run_dir, "model.bin")
    assert (str(source), "No such file or directory") == (caught.value.path, caught.value.detail)
    assert b"weights" == (run_dir / "artifacts/model.bin").read_bytes()


def test_a_source_that_never_was(run_dir: Path, tmp_path: Path) -> None:
    """The caller hears of it at the call."""
    with pytest.raises(FileNotFoundError):
        take(tmp_path / "absent", run_dir)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="neither a file nor a directory"):
        take(tmp_path / "pipe", run_dir)


@pytest.mark.parametrize("target", ["model.bin", "a/model.bin", "a/b/model.bin"])
@pytest.mark.parametrize("planted", ["artifacts", "artifacts/a", "artifacts/a/b"])
def test_a_planted_link_leads_nowhere(
    source: Path, run_dir: Path, tmp_path: Path, target: str, planted: str
) -> None:
    """A link in the place of a folder on the way is refused; nothing is written behind it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    link = run_dir / planted
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside)
    on_the_way = f"artifacts/{target}".startswith(planted + "/")
    if on_the_way:
        with pytest.raises(StorageError):
            keep(source, run_dir, target)
    else:
        keep(source, run_dir, target)
    assert [] == os.listdir(outside)


def test_a_link_at_the_name_is_replaced(source: Path, run_dir: Path, tmp_path: Path) -> None:
    """What it points at stays as it is."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (run_dir / "artifacts").mkdir()
    (run_dir / "artifacts/model.bin").symlink_to(victim)
    keep(source, run_dir, "model.bin")
    assert "mine" == victim.read_text()
    assert not (run_dir / "artifacts/model.bin").is_symlink()


def test_links_in_a_tree(tmp_path: Path, run_dir: Path) -> None:
    """A link to a file is copied as the file; one to a directory or to nothing is reported."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tmp_path / "data").write_text("data")
    (tree / "file").symlink_to(tmp_path / "data")
    (tree / "loop").symlink_to(tree)
    (tree / "broken").symlink_to("nowhere")
    os.mkfifo(tree / "pipe")
    warnings = keep(tree, run_dir, "tree")
    stored = run_dir / "artifacts/tree"
    assert ["file"] == os.listdir(stored)
    assert ("data", False) == ((stored / "file").read_text(), (stored / "file").is_symlink())
    expected = {"artifact tree/loop", "artifact tree/broken", "artifact tree/pipe"}
    assert expected == {line.split(" was left out")[0] for line in warnings}


def test_a_snapshot_of_a_tree_tells_what_it_left_out(tmp_path: Path, run_dir: Path) -> None:
    """The user hears of a link that was not followed, snapshot or not."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a").write_text("a")
    (tree / "b").symlink_to("a")
    (tree / "loop").symlink_to(tree)
    os.mkfifo(tree / "pipe")
    staged = take(tree, run_dir)
    warnings = keep(staged, run_dir, "out/tree")
    expected = {"artifact out/tree/loop", "artifact out/tree/pipe"}
    assert expected == {line.split(" was left out")[0] for line in warnings}
    assert ["a", "b"] == sorted(os.listdir(run_dir / "artifacts/out/tree"))
    assert [] == os.listdir(artifacts.staging_dir(str(run_dir)))


def test_a_file_where_a_folder_is_needed(source: Path, run_dir: Path) -> None:
    """The error says so; the file that is there stays."""
    keep(source, run_dir, "a")
    with pytest.raises(StorageError, match="Not a directory"):
        keep(source, run_dir, "a/b")
    assert b"weights" == (run_dir / "artifacts/a").read_bytes()


@pytest.mark.parametrize("name", ["write", "fsync", "rename"])
def test_trouble_leaves_the_old_artifact(
    source: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A full disk costs neither the old artifact nor the snapshot; the next try succeeds."""
    keep(source, run_dir, "model.bin")
    source.write_bytes(b"better weights")
    staged = take(source, run_dir)

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, name, fail)
        with pytest.raises(StorageError, match="No space left"):
            keep(staged, run_dir, "model.bin")
    assert ["model.bin"] == os.listdir(run_dir / "artifacts")
    assert b"weights" == (run_dir / "artifacts/model.bin").read_bytes()
    keep(staged, run_dir, "model.bin")
    assert b"better weights" == (run_dir / "artifacts/model.bin").read_bytes()


def test_staging_is_removed_only_if_it_is_empty(source: Path, run_dir: Path) -> None:
    """A snapshot that could not be stored is kept: it may be all that is left of the file."""
    artifacts.remove_staging(str(run_dir))
    staged = take(source, run_dir)
    artifacts.remove_staging(str(run_dir))
    keep(staged, run_dir, "model.bin")
    artifacts.remove_staging(str(run_dir))
    assert ["artifacts"] == os.listdir(run_dir)
