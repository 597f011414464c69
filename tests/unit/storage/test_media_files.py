"""media/ and media.jsonl: each medium once, whatever was killed or planted."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from expman.storage import media_spool
from expman.storage.artifact_requests import Request, Requests, data_name
from expman.storage.artifacts import staging_dir
from expman.storage.media_files import MediaFiles
from expman.storage.media_index import MediaNote
from expman.storage.media_spool import Spools


def request(number: int, staged: str, size: int = 5, **changes: object) -> Request:
    note = MediaNote(
        kind="text",
        tag="a/b",
        step=1,
        producer="main",
        extension="txt",
        pixels=None,
        size=size,
        timestamp_ns=10**18,
    )
    note = msgspec.structs.replace(note, **changes)
    return Request(lane=7, record=number, source="", staged=staged, target="", media=note)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    path.mkdir()
    return path


def kept(run_dir: Path, number: int, **changes: object) -> Request:
    """A request with its data, as a writer keeps it."""
    made = request(number, data_name(7, number), **changes)  # type: ignore[arg-type]
    Requests(str(run_dir)).keep(made, b"hello")
    return made


def lines(run_dir: Path) -> list[str]:
    return (run_dir / "media.jsonl").read_text().splitlines()


def test_a_successor_finds_what_is_stored(run_dir: Path) -> None:
    """A writer that was killed after the line leaves a request: no second line comes of it."""
    first = kept(run_dir, 0)
    assert [] == MediaFiles(str(run_dir), []).store(first).problems
    successor = MediaFiles(str(run_dir), Requests(str(run_dir)).read())
    assert [] == successor.store(first).problems
    assert 1 == len(lines(run_dir))
    again = MediaFiles(str(run_dir), [])  # the request is gone, and the record comes again
    again.doubt(first)
    assert [] == again.store(first).problems
    assert 1 == len(lines(run_dir))
    again.release(first)
    assert not os.path.exists(os.path.join(staging_dir(str(run_dir)), data_name(7, 0)))


def test_a_torn_line_is_cut_off(run_dir: Path) -> None:
    """And written again, whole, from its request."""
    MediaFiles(str(run_dir), []).store(kept(run_dir, 0))
    whole = (run_dir / "media.jsonl").read_bytes()
    (run_dir / "media.jsonl").write_bytes(whole + b'{"bytes":5,"id":"7-1"')
    second = kept(run_dir, 1)
    MediaFiles(str(run_dir), [second]).store(second)
    found = [msgspec.json.decode(line)["id"] for line in lines(run_dir)]
    assert ["7-0", "7-1"] == found


@pytest.mark.parametrize(
    ("staged", "changes"),
    [
        ("../run.yaml", {}),
        (data_name(7, 0), {"size": 99}),
        (data_name(7, 0), {"pixels": ("B", (1000, 1000), False, 0.0)}),
        ("0" * 16 + ".spool", {}),
    ],
)
def test_what_can_never_be_stored(run_dir: Path, staged: str, changes: dict[str, object]) -> None:
    """It costs itself only: the outcome names the problem, and no line is written."""
    kept(run_dir, 0)
    bad = request(0, staged, **changes)  # type: ignore[arg-type]
    files = MediaFiles(str(run_dir), [])
    assert 1 == len(files.store(bad).problems)
    assert [] == files.store(kept(run_dir, 1)).problems
    assert 1 == len(lines(run_dir))


def test_a_link_in_place_of_media_is_not_followed(run_dir: Path, tmp_path: Path) -> None:
    """It is set aside."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (run_dir / "media").symlink_to(outside)
    MediaFiles(str(run_dir), []).store(kept(run_dir, 0))
    assert [] == list(outside.iterdir())
    assert 1 == len(list((run_dir / "media").iterdir()))


def test_spools_are_bounded_and_used_again(run_dir: Path) -> None:
    """There is no room before the writer frees some; a spool that is gone is forgotten."""
    spools = Spools(str(run_dir), 1000)
    first, second = spools.put(b"a" * 400), spools.put(b"b" * 400)
    assert first is not None
    assert second is not None
    assert spools.put(b"d" * 400) is None
    files = MediaFiles(str(run_dir), [])
    assert [] == files.store(request(0, first, 400)).problems
    files.release(request(0, first, 400))
    assert first == spools.put(b"d" * 400)
    assert spools.put(b"d" * 400) is None
    for path in Path(staging_dir(str(run_dir))).iterdir():
        path.unlink()
    assert spools.put(b"e" * 400) is not None
    (stored,) = (run_dir / "media").iterdir()
    assert b"a" * 400 == stored.read_bytes()


def test_a_spool_that_could_not_be_written_is_used_again(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full for a while costs no spool for good."""
    spools = Spools(str(run_dir), 1000)
    name = spools.put(b"a" * 600)
    spools.take_back(str(name))
    with monkeypatch.context() as patch:
        patch.setattr(media_spool.os, "pwritev", lambda fd, *_: os.pwrite(fd, b"\0", 0) // 0)
        with pytest.raises(ZeroDivisionError):
            spools.put(b"b" * 600)
    assert name == spools.put(b"c" * 600)


def test_small_spools_make_room_for_a_large_one(run_dir: Path) -> None:
    """Pictures that grow: none waits for the space of free spools, all of which are too small."""
    spools = Spools(str(run_dir), 1000)
    found = [spools.put(b"a" * 100) for _ in range(6)]
    assert None not in found
    assert spools.put(b"b" * 300) is None
    for name in found[:4]:
        spools.take_back(str(name))
    assert spools.put(b"c" * 900) is None
    large = spools.put(b"c" * 500)
    assert large is not None
    left = {path.name for path in Path(staging_dir(str(run_dir))).iterdir()}
    assert {*found[4:], large} == left
