"""Where imported runs go: what killed imports leave, and names."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from unit.importers.conftest import DATA, Import

import expman
from expman.errors import StorageError
from expman.importers.place import Place, directory_name, remove_leftovers


def test_killed_between_two_names(importing: Import, tmp_path: Path) -> None:
    """A run that was being replaced comes back; if its successor is there, it goes."""
    run = Path(importing(DATA / "tensorboard")["tensors"].run_dir)
    home = run.parent
    earlier = home / (".expman-importing-" + "0" * 32 + "-earlier")
    run.rename(earlier)
    remove_leftovers(str(home))
    assert run.is_dir()
    shutil.copytree(run, earlier)
    remove_leftovers(str(home))
    assert {"tensors", "torch"} == set(os.listdir(home))


def test_a_living_import_is_left_alone(tmp_path: Path) -> None:
    """Its directory is locked; that of a killed one is removed."""
    place = Place(str(tmp_path), ("t", "x"))
    with place.open():
        remove_leftovers(str(tmp_path))
        assert os.path.isdir(place.staging)
        with pytest.raises(StorageError), Place(str(tmp_path), ("t", "x")).open():
            pass
    os.mkdir(place.staging)
    remove_leftovers(str(tmp_path))
    assert [] == os.listdir(tmp_path)


def test_a_run_that_got_another_suffix_is_found(importing: Import, tmp_path: Path) -> None:
    """Once the name is free again, the import still replaces the run that it made."""
    home = tmp_path / "out" / "e"
    (home / "torch").mkdir(parents=True)
    assert {"tensors", "torch-1"} == set(importing(DATA / "tensorboard"))
    (home / "torch").rmdir()
    (file,) = (tmp_path / "out" / "e" / "torch-1").glob("import.json")
    file.write_text(file.read_text().replace('"version": 1', '"version": 0'))
    assert {"tensors", "torch-1"} == set(importing(DATA / "tensorboard"))
    assert 2 == len(expman.runs(tmp_path / "out"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/b", "a_b"),
        ("..", "run"),
        (".x", "x"),
        ("a\nb", "a\\nb"),
        ("", "run"),
        ("latest", "latest-1"),
    ],
)
def test_names(name: str, expected: str) -> None:
    """Whatever a tracker calls a run, a directory can have the name; `latest` stays free."""
    assert "ä b" == directory_name("run_name", "ä b")
    assert expected == directory_name("run_name", name)
    assert 255 >= len(directory_name("run_name", name + "é" * 300).encode())
