"""Files of stacks: whatever is planted in their place, nothing outside is touched."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from expman.storage.stacks import Stacks, keep_stacks, remove_live_stacks, write_header


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder with a file that is none of the run's."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "precious").write_text("precious")
    return folder


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    path.mkdir()
    return path


def check_untouched(outside: Path) -> None:
    assert ["precious"] == os.listdir(outside)
    assert "precious" == (outside / "precious").read_text()


def test_a_linked_folder_is_not_emptied(run_dir: Path, outside: Path) -> None:
    """The end of a run removes no files of a folder that .stacks leads to."""
    (run_dir / ".stacks").symlink_to(outside)
    remove_live_stacks(str(run_dir))
    check_untouched(outside)


def test_a_linked_folder_gets_no_files(run_dir: Path, outside: Path) -> None:
    """Neither a process's file nor recorded stacks go where a link leads."""
    (run_dir / ".stacks").symlink_to(outside)
    (run_dir / "stacks").symlink_to(outside)
    with pytest.raises(OSError, match=r"\[Errno"):
        write_header(str(run_dir), 4711, 39)
    with pytest.raises(OSError, match=r"\[Errno"):
        keep_stacks(str(run_dir), [Stacks(4711, "python", "text")], 0.0)
    check_untouched(outside)


@pytest.mark.parametrize("plant", [os.symlink, os.link, lambda _, path: os.mkfifo(path)])
def test_a_planted_file_is_refused_or_replaced(
    run_dir: Path, outside: Path, plant: Callable[..., None]
) -> None:
    """A link keeps its target as it is, and a pipe blocks nobody."""
    for folder, name in ((".stacks", "4711"), ("stacks", "19700101T000000Z-4711.txt")):
        (run_dir / folder).mkdir()
        plant(outside / "precious", run_dir / folder / name)
    with pytest.raises(OSError, match=r"\[Errno"):
        write_header(str(run_dir), 4711, 39)
    keep_stacks(str(run_dir), [Stacks(4711, "python", "text")], 0.0)
    check_untouched(outside)
    kept = run_dir / "stacks" / "19700101T000000Z-4711.txt"
    assert "pid 4711: python\ntext\n" == kept.read_text()


def test_a_header_begins_the_file_anew(run_dir: Path) -> None:
    """A process that joins a run once more has one header."""
    for number in (39, 40):
        path, fd = write_header(str(run_dir), os.getpid(), number)
        os.close(fd)
    assert Path(path).read_text().count("\n") == 1
    assert Path(path).read_text().endswith("signal 40\n")
