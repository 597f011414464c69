"""A new kind of record, a new sink and a new sampler each touch one file: their table.

What they add goes from the call to a file, through SIGKILL of the writer, and through `recover`.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import msgspec
import pytest
from process.ledger import raw_rows
from process.runs import kill_writers, run_yaml, wait_until, writer_of
from seams.house import RECORDS, SAMPLER_TABLE, SINK_TABLE, House

from expman.storage.unknown_records import read_unknown_records

ROWS = 200
NOTE_KIND = '''\
class Note(Record, tag=40, frozen=True, gc=False):
    """A note."""

    text: str


'''


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A copy of the package as it is."""
    return House(tmp_path / "house")


@pytest.fixture
def note_house(house: House) -> House:
    """A copy with a new kind of record and a sink for it."""
    house.extend(RECORDS, ("KINDS: tuple", NOTE_KIND), ("    *(Vector, ", "    Note,\n"))
    house.add("notes.py", "writer/sinks/notes.py")
    house.extend(
        SINK_TABLE,
        ("from expman.writer.sinks.messages", "from expman.writer.sinks.notes import NoteSink\n"),
        ("    MessageSink: ", "    NoteSink: (wire.Note,),\n"),
    )
    return house


def log(trainer, count: int) -> None:  # type: ignore[no-untyped-def]
    trainer.send_line(f"log {count}")
    trainer.expect_line("logged")


def notes(run_dir: Path) -> list[str]:
    """The texts in notes.txt."""
    return [line.split(" ", 2)[2] for line in (run_dir / "notes.txt").read_text().splitlines()]


def expected_notes(count: int) -> list[str]:
    return [f"note {n}" for n in range(count)]


def log_text(run_dir: Path) -> str:
    path = run_dir / "run.log"
    return path.read_text() if path.exists() else ""


def test_a_new_record_goes_from_the_call_to_a_file(
    program, run_base: Path, note_house: House
) -> None:
    """Each note once and in order, and so the rows around them."""
    trainer = program("log_by_seams.py", run_base, env=note_house.env)
    run_dir = Path(trainer.read_line())
    log(trainer, ROWS)
    trainer.send_line("close")
    trainer.expect_line("closed")
    assert expected_notes(ROWS) == notes(run_dir)
    assert list(range(ROWS)) == raw_rows(run_dir)["n"].to_pylist()


def test_a_new_record_survives_its_writer(
    program, run_base: Path, tmp_path: Path, note_house: House
) -> None:
    """The writer is killed right after it has appended notes: the next one appends the rest."""
    armed = tmp_path / "armed"
    faults = {"EXPMAN_FAILPOINTS": f"notes-after-append=kill:{armed}"}
    trainer = program("log_by_seams.py", run_base, env=note_house.env | faults)
    run_dir = Path(trainer.read_line())
    armed.touch()
    log(trainer, ROWS)
    wait_until(lambda: not armed.exists(), "the kill")
    log(trainer, ROWS)
    trainer.send_line("close")
    trainer.expect_line("closed")
    assert 1 == run_yaml(run_dir)["writer_restarts"]
    assert expected_notes(2 * ROWS) == notes(run_dir)
    assert list(range(2 * ROWS)) == raw_rows(run_dir)["n"].to_pylist()


def test_a_new_record_is_recovered(program, run_base: Path, note_house: House) -> None:
    """Trainer and writer are killed before any note is in a file: `recover` brings them there."""
    trainer = program("log_by_seams.py", run_base, env=note_house.env)
    run_dir = Path(trainer.read_line())
    writer = writer_of(trainer.pid)
    os.kill(writer.pid, signal.SIGSTOP)
    log(trainer, ROWS)
    trainer.kill()
    kill_writers(writer.token, writer.pid)
    command = ["-m", "expman.writer", "recover", str(run_base)]
    program(command, env=note_house.env, cwd=note_house.directory).succeed()
    assert "CRASHED" == run_yaml(run_dir)["status"]
    assert expected_notes(ROWS) == notes(run_dir)
    assert list(range(ROWS)) == raw_rows(run_dir)["n"].to_pylist()


@pytest.mark.parametrize("killed", [False, True])
def test_a_writer_keeps_records_that_it_does_not_know(
    program, shared_writer, run_base: Path, note_house: House, killed: bool
) -> None:
    """An older writer loses none: run.log names the kind, a file has each record once."""
    writer = shared_writer()
    trainer = program("log_by_seams.py", run_base, env=note_house.env | writer.env)
    run_dir = Path(trainer.read_line())
    log(trainer, ROWS)
    if killed:
        wait_until(lambda: len(read_unknown_records(str(run_dir))) == ROWS, "the records")
        writer.kill()
        trainer.send_line("close")  # the next writer is the trainer's own, and knows notes
        trainer.expect_line("closed")
    else:
        trainer.send_line("close")
        trainer.expect_line("closed")
        assert 1 == log_text(run_dir).count("records of kind 40")
    assert list(range(ROWS)) == raw_rows(run_dir)["n"].to_pylist()
    found = read_unknown_records(str(run_dir))
    assert expected_notes(ROWS) == [msgspec.msgpack.decode(one.record)[3] for one in found]
    assert {"main"} == {one.producer for one in found}
    assert "FINISHED" == run_yaml(run_dir)["status"]


@pytest.fixture
def sampler_house(house: House) -> House:
    """A copy with three new samplers."""
    house.add("samplers.py", "writer/samplers/additions.py")
    names = "TickSampler, FailingSampler, HangingSampler"
    house.extend(
        SAMPLER_TABLE,
        (
            "from expman.writer.samplers.sampler",
            f"from expman.writer.samplers.additions import {names}\n",
        ),
        ("MemoryKillSampler,", f"{names}, "),
    )
    return house


def test_a_new_sampler(program, run_base: Path, sampler_house: House) -> None:
    """Its samples are in a file; one that fails or hangs is reported once and costs no other."""
    trainer = program("log_by_seams.py", run_base, env=sampler_house.env)
    run_dir = Path(trainer.read_line())
    wait_until(lambda: log_text(run_dir).count("tick of run") > 2, "samples")
    wait_until(lambda: "'hanging' has not returned for 0.2 s" in log_text(run_dir), "a report")
    ticks = log_text(run_dir).count("tick of run")
    wait_until(lambda: log_text(run_dir).count("tick of run") > ticks + 2, "more samples")
    trainer.send_line("close")
    trainer.expect_line("closed")
    assert 1 == log_text(run_dir).count("the sampler 'failing' failed: ")
    assert 1 == log_text(run_dir).count("'hanging'")
    assert "FINISHED" == run_yaml(run_dir)["status"]


def test_a_new_sampler_through_a_kill_and_recovery(
    program, run_base: Path, sampler_house: House
) -> None:
    """A successor goes on sampling, and what was sampled stays when the run is recovered."""
    trainer = program("log_by_seams.py", run_base, env=sampler_house.env)
    run_dir = Path(trainer.read_line())
    first = writer_of(trainer.pid)
    wait_until(lambda: "tick of run" in log_text(run_dir), "a sample")
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: run_yaml(run_dir).get("writer_restarts") == 1, "a successor")
    ticks = log_text(run_dir).count("tick of run")
    wait_until(lambda: log_text(run_dir).count("tick of run") > ticks, "its samples")
    successor = writer_of(trainer.pid)
    os.kill(successor.pid, signal.SIGSTOP)
    trainer.kill()
    kill_writers(successor.token, successor.pid)
    ticks = log_text(run_dir).count("tick of run")
    command = ["-m", "expman.writer", "recover", str(run_base)]
    program(command, env=sampler_house.env, cwd=sampler_house.directory).succeed()
    assert "CRASHED" == run_yaml(run_dir)["status"]
    assert ticks <= log_text(run_dir).count("tick of run")
