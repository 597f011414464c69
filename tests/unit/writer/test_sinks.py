"""Sinks: every kind of record has one, and what fails in one costs no other."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from lanes import fresh_address, make_hello

from expman.errors import StorageError
from expman.models import LogLevel
from expman.storage.runlog import RunLog
from expman.transport import records as wire
from expman.transport.bulk_decode import Rows
from expman.transport.consumer import LaneConsumer
from expman.transport.producer import LaneProducer
from expman.writer.files import RunFiles
from expman.writer.open_run import OpenRun
from expman.writer.samplers.samples import SAMPLES
from expman.writer.sinks import params
from expman.writer.sinks.sink import TRIES, Sink
from expman.writer.sinks.table import SINKS


@pytest.fixture
def files(tmp_path: Path) -> RunFiles:
    """The files of a new run."""
    (tmp_path / "lanes" / "run").mkdir(parents=True)
    return RunFiles(make_hello(base_dir=str(tmp_path)), 0)


def log_text(files: RunFiles) -> str:
    return Path(files.run.run_dir, "run.log").read_text()


def test_every_record_has_one_sink() -> None:
    """Whatever a lane or a sampler can give is taken by exactly one sink."""
    taken = Counter(kind for kinds in SINKS.values() for kind in kinds)
    assert {*wire.KINDS, wire.Unknown, Rows, *SAMPLES} == set(taken)
    assert {1} == set(taken.values())


def test_a_sink_that_fails_costs_no_other(files: RunFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again; then what it cannot write is left out, with a line in run.log."""

    def fail(file: object, merged: object) -> list[str]:
        raise ZeroDivisionError("odd parameters")

    monkeypatch.setattr(params.ConfigFile, "merge", fail)
    hello = files.run.hello
    with fresh_address() as address:
        lane = LaneProducer(address, hello)
        consumer = LaneConsumer(address, lane.lane)
        files.add_lane(consumer)
        lane.log_params({"lr": 1})
        lane.log_message(LogLevel.INFO, "hello")
        files.take(consumer, consumer.poll())
        for _ in range(TRIES - 1):
            with pytest.raises(StorageError, match=r"config\.yaml: cannot be written"):
                files.commit()
        assert "hello" in log_text(files)
        files.commit()
        assert "parameters were left out (lr): ZeroDivisionError" in log_text(files)
        files.close()
        consumer.remove()


def test_a_sink_that_leaves_out_nothing(files: RunFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its failure reaches the writer, which begins the run anew; all others have committed before.

    Those behind it too, and an error of the disk that comes first does not hide it.
    """
    committed = []
    disk, broken, *others = files._sinks.values()

    def fail_on_disk(*, sync: bool) -> None:
        raise StorageError("a", "No space left")

    def fail(*, sync: bool) -> None:
        raise ZeroDivisionError("not foreseen")

    monkeypatch.setattr(disk, "commit", fail_on_disk)
    monkeypatch.setattr(broken, "write", fail)
    monkeypatch.setattr(type(broken), "may_leave_out", False)
    for sink in others:
        monkeypatch.setattr(sink, "commit", lambda *, sync, sink=sink: committed.append(sink))

    with pytest.raises(ZeroDivisionError):
        files.commit()

    assert others == committed


def test_lines_left_out_cost_no_later_line(
    files: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A successor does not take their append for one that a kill has interrupted."""

    def fail(log: RunLog, lines: object) -> None:
        raise ZeroDivisionError("odd lines")

    with fresh_address() as address:
        lane = LaneProducer(address, files.run.hello)
        consumer = LaneConsumer(address, lane.lane)
        files.add_lane(consumer)
        lane.log_message(LogLevel.INFO, "hello")
        files.take(consumer, consumer.poll())
        with monkeypatch.context() as patch:
            patch.setattr(RunLog, "append_text", fail)
            for _ in range(TRIES - 1):
                with pytest.raises(StorageError):
                    files.commit()
            files.commit()
        files.note(LogLevel.INFO, "later")
        files.commit()
        files.close()
        successor = RunFiles(files.run.hello, 1)
        successor.add_lane(consumer.reopen())
        assert "later" in log_text(files)
        successor.close()
        consumer.remove()


def test_records_of_a_sampler_need_no_lane(files: RunFiles) -> None:
    """A line and a scalar of the writer's own are in the files; what no sink takes is left out."""
    samples = [wire.Log(0, 1, LogLevel.WARN, "seen"), object(), wire.Scalar(0, 1, "t", 3)]
    files.take_samples(samples)
    files.commit()
    assert "[WARN] seen" in log_text(files)
    assert "a sample (object) of the writer could not be read, left out" in log_text(files)
    assert "t: 3" in Path(files.run.run_dir, "run.yaml").read_text()
    files.close()


def test_sinks_document_how_they_resume() -> None:
    """The docstring of each sink says what holds after a kill."""
    for kind in SINKS:
        assert issubclass(kind, Sink)
        text = str(kind.__doc__)
        assert any(word in text for word in ("Resumes", "after a kill")), kind


def test_an_open_run_notes_damage(tmp_path: Path) -> None:
    """A run.yaml that cannot be read is set aside, and run.log says so."""
    run_dir = tmp_path / "lanes" / "run"
    run_dir.mkdir(parents=True)
    (run_dir / "run.yaml").write_text("status: [")
    run = OpenRun(make_hello(base_dir=str(tmp_path)), 0)
    (line,) = run.lines
    assert "it was renamed to run.yaml.corrupt" in line.text
    run.close()
