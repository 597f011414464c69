"""Names of the files, and replacing one without its ever being half there."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hostile import plant

from expman.errors import StorageError
from expman.storage import paths


def test_names_of_the_tail() -> None:
    """Four digits or more; other names are no tail files."""
    assert "vectors-0001.arrow" == paths.tail_name(1)
    assert "vectors-12345.arrow" == paths.tail_name(12345)
    assert [1, 12345] == [paths.tail_number(paths.tail_name(number)) for number in (1, 12345)]
    for name in ("vectors-1.arrow", "vectors-0001.arrow.corrupt", "xvectors-0001.arrow", "run.log"):
        assert paths.tail_number(name) is None


def test_replace_gives_the_new_bytes_and_leaves_no_other_file(tmp_path: Path) -> None:
    """An old file and an absent one become the new one, of the mode that the umask leaves."""
    path = tmp_path / "a.yaml"
    for data in (b"old", b"new"):
        paths.replace_file(str(path), data)
        assert data == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())
    umask = os.umask(0)
    os.umask(umask)
    assert 0o666 & ~umask == stat.S_IMODE(path.stat().st_mode)


def test_a_reader_that_has_the_old_file_keeps_it(tmp_path: Path) -> None:
    """The old bytes are never written over."""
    path = tmp_path / "a.yaml"
    path.write_bytes(b"old")
    with path.open("rb") as file:
        paths.replace_file(str(path), b"new, and longer")
        assert b"old" == file.read()


def test_a_link_at_the_name_is_replaced_not_followed(tmp_path: Path) -> None:
    """What a planted link points at stays as it is."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.yaml").symlink_to(victim)
    paths.replace_file(str(run / "run.yaml"), b"ours")
    assert "mine" == victim.read_text()
    assert not (run / "run.yaml").is_symlink()


@pytest.mark.parametrize("name", ["write", "fsync", "rename"])
def test_trouble_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The error names the file and what the system said; no temporary file is left."""
    path = tmp_path / "a.yaml"
    path.write_bytes(b"old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, name, fail)
    with pytest.raises(StorageError) as caught:
        paths.replace_file(str(path), b"new")
    assert (str(path), "No space left on device") == (caught.value.path, caught.value.detail)
    assert [path] == list(tmp_path.iterdir())
    assert b"old" == path.read_bytes()


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every byte is written, however the system cuts the writes; none at all is an error."""
    real = os.write
    path = tmp_path / "a"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:3]))
    paths.write_all(fd, b"0123456789")
    monkeypatch.setattr(os, "write", lambda fd, data: 0)
    with pytest.raises(OSError, match="took no bytes"):
        paths.write_all(fd, b"x")
    os.close(fd)
    assert b"0123456789" == path.read_bytes()


def test_only_a_plain_file_is_regular(tmp_path: Path) -> None:
    """Not a link to one, not a pipe, not a directory, not nothing."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    names = ("file", "link", "pipe", ".", "absent")
    assert [True, False, False, False, False] == [
        paths.is_regular(str(tmp_path / name)) for name in names
    ]


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "directory", "link", "dangling"])
@pytest.mark.parametrize("follow", [False, True])
def test_nothing_but_a_plain_file_is_opened(tmp_path: Path, kind: str, follow: bool) -> None:
    """A pipe is not waited for, a device not touched; a link counts as what it leads to, or not."""
    path, aim = tmp_path / "run.yaml", tmp_path / "aim"
    aim.write_bytes(b"x")
    plant(kind, path, aim)
    if follow and kind == "link":
        fd = paths.open_regular(str(path), follow=True)
        assert b"x" == os.read(fd, 9)
        os.close(fd)
        return
    before = len(os.listdir("/proc/self/fd"))
    error = FileNotFoundError if follow and kind == "dangling" else paths.IrregularFileError

    with pytest.raises(error) as caught:
        paths.open_regular(str(path), follow=follow)

    assert "No such file" in str(caught.value) or "expected a regular file" in str(caught.value)
    assert before == len(os.listdir("/proc/self/fd"))


def test_a_pipe_that_comes_between_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has the name when it is opened counts, not what had it when it was looked at."""
    path = tmp_path / "run.yaml"
    path.write_bytes(b"x")
    look = os.stat

    def look_and_replace(*args: Any, **options: Any) -> os.stat_result:
        found = look(*args, **options)
        path.unlink()
        os.mkfifo(path)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", look_and_replace)
        with pytest.raises(paths.IrregularFileError, match="a pipe"):
            paths.open_regular(str(path))


def test_quarantine_takes_a_free_name(tmp_path: Path) -> None:
    """What was put aside before is not overwritten, a dangling link included."""
    path = tmp_path / "run.yaml"
    (tmp_path / "run.yaml.corrupt-1").symlink_to("nowhere")
    targets = []
    for text in ("first", "second"):
        path.write_text(text)
        targets.append(Path(paths.quarantine(str(path))).name)
    assert ["run.yaml.corrupt", "run.yaml.corrupt-2"] == targets
    assert "first" == (tmp_path / "run.yaml.corrupt").read_text()
    assert not path.exists()


def test_stale_temporary_files_are_removed(tmp_path: Path) -> None:
    """Those of ours, and nothing else."""
    (tmp_path / "keep").write_text("x")
    fd, temp = paths.create_temp(str(tmp_path))
    os.close(fd)
    assert os.path.basename(temp).startswith(paths.TEMP_PREFIX)
    paths.remove_stale_temps(str(tmp_path))
    assert ["keep"] == os.listdir(tmp_path)


def test_an_error_without_words_has_a_name() -> None:
    """A StorageError always says something."""
    assert "MemoryError" == paths.storage_error("x", MemoryError()).detail
    assert "bad file" == paths.storage_error("x", ValueError("bad file")).detail
