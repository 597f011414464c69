"""Imports into a directory of the test's own."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import expman
from expman.errors import ExpmanError
from expman.formats.damage import DamagedError
from expman.importers.formats import find
from expman.importers.importing import Imported, import_run
from expman.importers.place import EarlierImports

DATA = Path(__file__).parents[2] / "data" / "imports"

Import = Callable[..., dict[str, Imported]]


@pytest.fixture
def importing(tmp_path: Path) -> Import:
    """Imports what is at a path; the runs by name."""

    def call(path: Path, tracker: str | None = None) -> dict[str, Imported]:
        home = tmp_path / "out" / "e"
        home.mkdir(parents=True, exist_ok=True)
        earlier = EarlierImports(str(home))
        made = {}
        for sources in find(str(path), Counter(), tracker).values():
            for source in sources:
                found = import_run(source, str(home), earlier, lambda _: None)
                made[Path(found.run_dir).name] = found
        return made

    return call


def damaged_files(data: bytes, seed: int, tries: int) -> Iterator[bytes]:
    """The data cut off somewhere, with flipped bits, and with bytes put in or left out."""
    generator = random.Random(seed)
    for _ in range(tries):
        damaged = bytearray(data)
        way = generator.randrange(4)
        at = generator.randrange(len(data))
        if way == 0:
            del damaged[at:]
        elif way == 1:
            for _ in range(generator.randrange(1, 9)):
                damaged[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        elif way == 2:
            del damaged[at : at + generator.randrange(1, 64)]
        else:
            damaged[at:at] = generator.randbytes(generator.randrange(1, 64))
        yield bytes(damaged)


def import_anything(importing: Import, path: Path, tracker: str) -> None:
    """Imports damaged files: runs that can be read, or an error that the command reports."""
    try:
        made = importing(path, tracker)
    except (DamagedError, ExpmanError, OSError):
        return
    for found in made.values():
        assert found.rows <= expman.Run(found.run_dir).vectors().num_rows
