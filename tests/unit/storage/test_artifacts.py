"""Artifacts: where they may land, what a snapshot keeps, what the copy does."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expman.errors import StorageError
from expman.storage import artifacts, copying
from expman.storage.artifact_requests import Request, Requests
from expman.storage.artifact_store import Stored, store


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


def put(source: Path | str, run_dir: Path, target: str) -> Stored:
    """Stores a source or, if it lies in the staging directory, a snapshot."""
    home, name = os.path.split(source)
    staged = name if home == artifacts.staging_dir(str(run_dir)) else None
    return store(str(source), str(run_dir), target, staged=staged)


def keep(source: Path | str | None, run_dir: Path, target: str) -> list[str]:
    """Stores it whole; gives the warnings."""
    assert source is not None
    found = put(source, run_dir, target)
    assert [] == found.problems
    return found.warnings


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


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on another file system."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", fail)
    monkeypatch.setattr(copying.fcntl, "ioctl", fail)


@pytest.mark.usefixtures("no_links")
def test_the_call_copies_where_links_are_impossible(source: Path, run_dir: Path) -> None:
    """What is stored is what was there at the call, whatever is done with the source."""
    staged = take(source, run_dir)
    assert staged is not None
    source.write_bytes(b"changed in place")
    source.unlink()
    inode = os.stat(staged).st_ino
    assert [] == keep(staged, run_dir, "a/model.bin")
    stored = run_dir / "artifacts/a/model.bin"
    assert b"weights" == stored.read_bytes()
    assert inode == stored.stat().st_ino  # moved, not copied once more
    assert [] == os.listdir(artifacts.staging_dir(str(run_dir)))


@pytest.mark.usefixtures("no_links")
def test_the_call_copies_a_tree_where_links_are_impossible(tmp_path: Path, run_dir: Path) -> None:
    """So it is with a directory."""
    (tmp_path / "tree/deep").mkdir(parents=True)
    (tmp_path / "tree/deep/a").write_text("a")
    staged = take(tmp_path / "tree", run_dir)
    (tmp_path / "tree/deep/a").write_text("changed")
    assert [] == keep(staged, run_dir, "tree")
    assert "a" == (run_dir / "artifacts/tree/deep/a").read_text()


@pytest.mark.usefixtures("no_links")
def test_no_snapshot_on_a_disk_without_room(
    source: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the writer copies the source, when it can; nothing half-made is left."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", fail)
    monkeypatch.setattr(os, "copy_file_range", fail)
    assert take(source, run_dir) is None
    assert [] == os.listdir(artifacts.staging_dir(str(run_dir)))


@pytest.mark.parametrize("way", ["link", "copy_file_range", "read and write"])
def test_mode_times_and_holes_are_kept(
    tmp_path: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch, way: str, request: Any
) -> None:
    """Also the executable bit; neither setuid, nor a byte of disk for a hole."""
    if way != "link":
        request.getfixturevalue("no_links")
    if way == "read and write":
        monkeypatch.setattr(os, "copy_file_range", unsupported)
    source = tmp_path / "sparse"
    with source.open("wb") as file:
        file.truncate(64 << 20)
        file.seek(32 << 20)
        file.write(b"data in the middle")
    os.utime(source, ns=(10**18, 10**18 + 7))
    source.chmod(0o4751)
    keep(take(source, run_dir), run_dir, "sparse")
    stored = run_dir / "artifacts/sparse"
    assert (0o751, 10**18 + 7) == (stat.S_IMODE(stored.stat().st_mode), stored.stat().st_mtime_ns)
    assert stored.stat().st_blocks * 512 < 4 << 20
    with stored.open("rb") as file:
        file.seek(32 << 20)
        assert b"data in the middle\0" == file.read(19)
    assert 64 << 20 == stored.stat().st_size


def unsupported(*_: object) -> None:
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


@given(
    pieces=st.lists(st.tuples(st.integers(0, 1 << 18), st.binary(min_size=1, max_size=5000))),
    size=st.integers(0, 1 << 18),
    in_kernel=st.booleans(),
)
def test_a_copy_has_the_bytes_of_its_source(
    tmp_path_factory: pytest.TempPathFactory,
    pieces: list[tuple[int, bytes]],
    size: int,
    in_kernel: bool,
) -> None:
    """Wherever data and holes lie."""
    folder = tmp_path_factory.getbasetemp()
    source, copy = folder / "copy-source", folder / "copy-target"
    with source.open("wb") as file:
        for position, data in pieces:
            file.seek(position)
            file.write(data)
        file.truncate(size)
    with (
        pytest.MonkeyPatch.context() as patch,
        source.open("rb") as from_file,
        copy.open("wb") as to_file,
    ):
        if not in_kernel:
            patch.setattr(os, "copy_file_range", unsupported)
        copying.copy_bytes(from_file.fileno(), to_file.fileno())
    assert source.read_bytes() == copy.read_bytes()


def test_a_file_that_does_not_know_its_size(run_dir: Path) -> None:
    """As those of /proc."""
    keep("/proc/self/status", run_dir, "status")
    assert "Name:" in (run_dir / "artifacts/status").read_text()


def test_storing_again_is_harmless(source: Path, run_dir: Path) -> None:
    """A successor that repeats a copy finds the snapshot gone and the target there."""
    staged = take(source, run_dir)
    keep(staged, run_dir, "model.bin")
    assert [] == keep(staged, run_dir, "model.bin")
    assert b"weights" == (run_dir / "artifacts/model.bin").read_bytes()


def test_a_source_that_vanished(source: Path, run_dir: Path) -> None:
    """Without a snapshot it is a problem that names the file, and an older artifact stays."""
    keep(source, run_dir, "model.bin")
    source.unlink()
    found = put(source, run_dir, "model.bin")
    assert [f"{source}: No such file or directory"] == found.problems
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
    """A link in the place of a folder on the way is never followed.

    In the place of artifacts/ it is the disk's trouble; below, another name is taken.
    """
    outside = tmp_path / "outside"
    outside.mkdir()
    link = run_dir / planted
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside)
    on_the_way = f"artifacts/{target}".startswith(planted + "/")
    if planted == "artifacts":
        with pytest.raises(StorageError, match=f"^{link}: "):
            keep(source, run_dir, target)
    else:
        assert on_the_way == bool(keep(source, run_dir, target))
        assert 1 == len([path for path in (run_dir / "artifacts").rglob("*") if path.is_file()])
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


@pytest.mark.parametrize("snapshot", [True, False])
@pytest.mark.parametrize(
    ("first", "then", "kept_as"),
    [
        ("model", "model/weights.pt", "model-2/weights.pt"),
        ("model/weights.pt", "model", "model-2"),
        ("a/b/c", "a/b", "a/b-2"),
        ("a/b", "a/b/c", "a/b-2/c"),
        ("x" * 255, "x" * 255 + "/y", "x" * 250 + "-2/y"),
    ],
)
def test_names_that_exclude_each_other(
    source: Path, run_dir: Path, first: str, then: str, kept_as: str, snapshot: bool
) -> None:
    """Both are kept, the later one beside the earlier one; again and again in one place."""
    keep(source, run_dir, first)
    for content in (b"better", b"best"):
        source.write_bytes(content)
        taken = take(source, run_dir) if snapshot else source
        [warning] = keep(taken, run_dir, then)
        assert "the name was taken" in warning
        assert content == (run_dir / "artifacts" / kept_as).read_bytes()
        if snapshot:
            assert [] == keep(taken, run_dir, then)  # stored, as a successor finds it
    assert b"weights" == (run_dir / "artifacts" / first).read_bytes()
    assert 2 == len([path for path in (run_dir / "artifacts").rglob("*") if path.is_file()])


def test_trees_that_exclude_each_other(tmp_path: Path, run_dir: Path) -> None:
    """A file of a tree where the other has a directory: both are kept."""
    (tmp_path / "one/x").mkdir(parents=True)
    (tmp_path / "one/x/deep").write_text("deep")
    (tmp_path / "two").mkdir()
    (tmp_path / "two/x").write_text("flat")
    keep(tmp_path / "one", run_dir, "tree")
    [warning] = keep(tmp_path / "two", run_dir, "tree")
    assert "x is kept as x-2" in warning
    stored = run_dir / "artifacts/tree"
    assert ("deep", "flat") == ((stored / "x/deep").read_text(), (stored / "x-2").read_text())


def test_a_tree_of_which_a_part_cannot_be_read(tmp_path: Path, run_dir: Path) -> None:
    """The rest is stored, and the problem names what is missing."""
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    for name in ("a", "sub/b"):
        (tree / name).write_text(name)
    staged = take(tree, run_dir)
    assert staged is not None
    for name in ("locked", "sub/locked"):  # as the snapshot notes what it may not read
        os.symlink(f"{artifacts.UNREADABLE}{errno.EACCES}", os.path.join(staged, name))
    found = put(staged, run_dir, "tree")
    assert ["locked: Permission denied", "sub/locked: Permission denied"] == found.problems
    assert "sub/b" == (run_dir / "artifacts/tree/sub/b").read_text()
    assert [] == os.listdir(artifacts.staging_dir(str(run_dir)))


def test_a_run_that_saves_itself(run_dir: Path) -> None:
    """Its own staging directory is not part of it."""
    (run_dir / "notes").write_text("notes")
    keep(take(run_dir, run_dir), run_dir, "all")
    assert "notes" == (run_dir / "artifacts/all/notes").read_text()


def test_a_path_that_is_too_long(run_dir: Path) -> None:
    """It is refused at the call, with its length."""
    with pytest.raises(ValueError, match=r"makes a path of 4\d\d\d bytes"):
        artifacts.artifact_target("x", "/".join(["y" * 200] * 21), str(run_dir))


@pytest.mark.parametrize("code", [errno.ENAMETOOLONG, errno.EFBIG, errno.EILSEQ])
def test_what_the_file_system_can_never_hold(
    source: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """It is the artifact's problem, not trouble that may heal; its snapshot is kept."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    staged = take(source, run_dir)
    assert staged is not None
    monkeypatch.setattr(os, "rename", fail)
    found = put(staged, run_dir, "model.bin")
    assert ([f"model.bin: {os.strerror(code)}"], True) == (found.problems, found.kept)
    assert b"weights" == Path(staged).read_bytes()


def test_a_run_directory_that_is_gone_is_no_problem_of_the_artifact(
    source: Path, run_dir: Path
) -> None:
    """A lost mount comes back; the snapshot is there again."""
    staged = take(source, run_dir)
    assert staged is not None
    aside = run_dir.rename(run_dir.with_name("aside"))
    with pytest.raises(StorageError, match="No such file"):
        put(staged, run_dir, "model.bin")
    aside.rename(run_dir)
    keep(staged, run_dir, "model.bin")


@pytest.mark.parametrize("name", ["copy_file_range", "fsync", "rename"])
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
        if name == "copy_file_range":
            patch.setattr(os, "pwrite", fail)  # which is tried next
        with pytest.raises(StorageError, match="No space left"):
            keep(staged, run_dir, "model.bin")
    assert ["model.bin"] == os.listdir(run_dir / "artifacts")
    assert b"weights" == (run_dir / "artifacts/model.bin").read_bytes()
    keep(staged, run_dir, "model.bin")
    assert b"better weights" == (run_dir / "artifacts/model.bin").read_bytes()


def make_request(**changes: Any) -> Request:
    given = {"lane": 0, "record": 0, "source": "/s", "staged": None, "target": "t"}
    return Request(**{**given, **changes})


def test_requests_survive(run_dir: Path) -> None:
    """In the order of their records; what is no request is left alone."""
    requests = [make_request(record=record) for record in (3, 20, 100)]
    for request in reversed(requests):
        Requests(str(run_dir)).keep(request)
    staging = Path(artifacts.staging_dir(str(run_dir)))
    (staging / "0.request").write_text("rubbish")
    os.mkfifo(staging / "1.request")
    assert requests == Requests(str(run_dir)).read()
    Requests(str(run_dir)).forget(requests[1])
    assert [requests[0], requests[2]] == Requests(str(run_dir)).read()


@pytest.mark.parametrize("what", ["file", "link"])
def test_what_has_the_name_of_the_staging_directory_is_set_aside(
    run_dir: Path, tmp_path: Path, what: str
) -> None:
    """Nothing is written behind a planted link."""
    planted = run_dir / ".artifacts-staging"
    if what == "file":
        planted.write_text("mine")
    else:
        (tmp_path / "outside").mkdir()
        planted.symlink_to(tmp_path / "outside")
    Requests(str(run_dir)).keep(make_request())
    assert [make_request()] == Requests(str(run_dir)).read()
    assert os.path.lexists(run_dir / ".artifacts-staging.corrupt")
    assert what == "file" or [] == os.listdir(tmp_path / "outside")


def test_staging_is_removed_only_if_it_is_empty(source: Path, run_dir: Path) -> None:
    """A snapshot that could not be stored is kept: it may be all that is left of the file."""
    requests = Requests(str(run_dir))
    requests.clean_up()
    staged = take(source, run_dir)
    assert staged is not None
    failed = make_request(staged=os.path.basename(staged), problem="File too large")
    requests.keep(failed)
    requests.keep(make_request(record=1, problem="No such file"))
    requests.clean_up()
    assert [failed] == requests.read()
    os.unlink(staged)
    requests.clean_up()
    assert [] == os.listdir(run_dir)


@pytest.mark.parametrize("failures", [1, 2])
def test_a_snapshot_whose_fsync_fails_goes_to_another_file(
    source: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    """The second fsync of the same file succeeds without the bytes: it is not believed."""
    real, synced = os.fsync, []

    def fsync(fd: int) -> None:
        synced.append(os.fstat(fd).st_ino)
        if len(synced) <= failures:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(fd)

    home = Path(artifacts.staging_dir(str(run_dir)))
    home.mkdir()
    (run_dir / "artifacts").mkdir()
    private = home / ("0" * 16 + artifacts.PRIVATE)
    private.write_bytes(b"weights")
    inode = private.stat().st_ino
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        for _ in range(failures):
            try:
                keep(private, run_dir, "model.bin")
            except StorageError:
                continue
            break
        else:
            keep(private, run_dir, "model.bin")
    stored = run_dir / "artifacts/model.bin"
    assert b"weights" == stored.read_bytes()
    assert inode != stored.stat().st_ino
    assert stored.stat().st_ino in synced[failures:]
