"""The copier: what is kept counts, and one thread at a time stores a run's artifacts."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from process.runs import wait_until

from expman.errors import StorageError
from expman.storage.artifact_requests import Request, Requests
from expman.transport import records as wire
from expman.writer import copier as copiers
from expman.writer.copier import Copier


def artifact(number: int, source: Path) -> wire.Artifact:
    return wire.Artifact(0, number, str(source), None, f"a{number}")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file to be stored."""
    path = tmp_path / "source"
    path.write_text("content")
    return path


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """The directory of a run."""
    path = tmp_path / "run"
    path.mkdir()
    return path


def keep_all(copier: Copier, count: int) -> list[int]:
    """Notes requests as soon as they are durable, until there were so many; their numbers."""
    numbers: list[int] = []

    def are_noted() -> bool:
        numbers.extend(request.record for request in copier.keep())
        return len(numbers) >= count

    wait_until(are_noted, "the requests")
    return numbers


def test_a_successor_knows_what_was_kept(run_dir: Path, source: Path) -> None:
    """The requests of each lane count up to the last one, though nobody could note them.

    They are noted before they are copied, so that no third writer finds them neither noted nor
    there, and takes their records once more.
    """
    killed = Requests(str(run_dir))
    for lane, record in ((1, 3), (1, 7), (2, 0)):
        killed.keep(
            Request(
                lane=lane,
                record=record,
                source=str(source),
                staged=None,
                target=f"a{record}",
                logged_at_ns=record,
            )
        )
    copier = Copier(str(run_dir))
    assert [8, 1, 0] == [copier.found(lane) for lane in (1, 2, 3)]


def test_what_is_kept_counts_though_the_next_fails(
    run_dir: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request is known to be durable as soon as it is; the next one is tried again."""
    copier = Copier(str(run_dir))
    keep, refuses = Requests.keep, threading.Event()
    refuses.set()

    def keep_sometimes(requests: Requests, request: Request, data: bytes | None) -> None:
        if request.record and refuses.is_set():
            raise StorageError("disk", "full")
        keep(requests, request, data)

    monkeypatch.setattr(Requests, "keep", keep_sometimes)
    for number in range(3):
        copier.take(7, number, artifact(number, source), term=number)
    assert [0] == keep_all(copier, 1)
    wait_until(lambda: copier.write_error is not None, "the error")
    assert (1, True, False) == (copier.first_term(7), copier.is_busy, copier.has_kept)
    refuses.clear()
    assert [1, 2] == keep_all(copier, 2)
    assert copier.first_term(7) is None is copier.write_error
    wait_until(lambda: (run_dir / "artifacts" / "a2").exists(), "the copies")
    copier.stop()


def test_nothing_is_copied_before_it_is_noted(run_dir: Path, source: Path) -> None:
    """A thread that is at work takes a request only after the caller has noted that it is kept."""
    copier = Copier(str(run_dir))
    copier.take(7, 0, artifact(0, source), term=3)
    copier.start()
    wait_until(lambda: copier.has_kept, "the request")
    for _ in copier.keep():
        copier.start()
        assert not copier._copying.open
        assert 3 == copier.first_term(7)
    wait_until(lambda: (run_dir / "artifacts" / "a0").exists(), "the copy")
    copier.stop()


def test_a_failure_of_the_keeping_thread_is_the_callers(
    run_dir: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not the disk's trouble has the run begun anew, from the terms that stay."""
    copier = Copier(str(run_dir))

    def fail(*_: object) -> None:
        raise MemoryError("none left")

    monkeypatch.setattr(Requests, "keep", fail)
    copier.take(7, 0, artifact(0, source), term=3)
    copier.start()
    wait_until(lambda: copier.has_kept, "the failure")
    with pytest.raises(MemoryError):
        list(copier.keep())
    assert (True, 3) == (copier.is_busy, copier.first_term(7))
    copier.stop()


def test_a_successor_waits_for_the_keeping_thread_of_its_predecessor(
    run_dir: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was stopped may be writing a request: a later copy of it would be a second one."""
    keep, go_on, begun = Requests.keep, threading.Event(), []

    def keep_slowly(requests: Requests, request: Request, data: bytes | None) -> None:
        begun.append(threading.current_thread())
        assert go_on.wait(120)
        keep(requests, request, data)

    monkeypatch.setattr(Requests, "keep", keep_slowly)
    first, second = Copier(str(run_dir)), Copier(str(run_dir))
    for copier in (first, second):
        copier.take(7, 0, artifact(0, source), term=0)
    first.start()
    wait_until(lambda: begun, "the first thread")
    first.stop()
    second.start()
    assert 1 == len(begun)
    go_on.set()
    assert [0] == keep_all(second, 1)
    assert not begun[0].is_alive()
    second.stop()


def test_requests_are_made_in_the_runs_own_directory(run_dir: Path, source: Path) -> None:
    """While another one is at its path, or none, nothing is made, and a commit is due."""
    is_back = threading.Event()
    copier = Copier(str(run_dir), is_back.is_set)
    copier.take(7, 0, artifact(0, source), term=0)
    copier.start()
    wait_until(lambda: copier.is_due, "a commit")
    assert [] == list(copier.keep()) == list(run_dir.iterdir())
    is_back.set()
    assert [0] == keep_all(copier, 1)
    copier.stop()


def test_a_successor_waits_for_the_thread_of_its_predecessor(
    run_dir: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copier that was stopped may be storing: the next one starts later, none is stored twice."""
    stored, go_on, begun = [], threading.Event(), threading.Event()
    store = copiers.store

    def store_slowly(*args, **options):  # type: ignore[no-untyped-def]
        stored.append(args[2])
        begun.set()
        assert go_on.wait(120)
        options["stopped"] = lambda: False  # it is past its last look
        return store(*args, **options)

    monkeypatch.setattr(copiers, "store", store_slowly)
    first = Copier(str(run_dir))
    for number in range(2):
        first.take(7, number, artifact(number, source), term=0)
    assert [0, 1] == keep_all(first, 2)
    assert begun.wait(120)
    first.stop()
    second = Copier(str(run_dir))
    second.start()
    assert ["a0"] == stored
    go_on.set()

    def is_settled() -> bool:
        second.start()
        for outcome in second.outcomes():
            assert outcome.problem is None
        return second.has_settled(2)

    wait_until(is_settled, "both artifacts")
    assert ["a0", "a1"] == stored
    assert not second.is_busy
    second.stop()


def test_requests_come_in_the_order_of_their_calls(run_dir: Path) -> None:
    """Over all lanes by time; within a lane by number, even if its clock was set back."""
    requests = Requests(str(run_dir))

    def request(lane: int, record: int, at: int) -> Request:
        return Request(
            lane=lane, record=record, source="s", staged=None, target="t", logged_at_ns=at
        )

    ordered = [request(9, 0, 10), request(5, 3, 20), request(9, 1, 30), request(9, 2, 5)]
    for one in [ordered[3], *ordered[:3]]:
        requests.keep(one)
    assert ordered == requests.read()
