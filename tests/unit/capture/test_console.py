"""What Python prints, on its way into a run."""

from __future__ import annotations

import contextlib
import io
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from expman import Experiment, ExperimentConfig, LoggingEngine, Run
from expman.capture import console
from expman.capture.console import ConsoleTap
from expman.errors import RunClosedError

pytestmark = pytest.mark.usefixtures("standing_writer")

Printed = list[tuple[str, str]]


class Lane:
    """Takes console records, or has no room for them."""

    def __init__(self) -> None:
        self.records: list[tuple[str, str, int]] = []
        self.has_room = True
        self.is_closed = False

    def offer(self, tag: int, *fields: Any) -> bool:
        if self.is_closed:
            raise RunClosedError("run")
        if self.has_room:
            self.records.append(fields)
        return self.has_room

    def publish(self, tag: int, *fields: Any, give_up_at: float) -> bool:
        self.records.append(fields)
        return True

    @property
    def lines(self) -> Printed:
        whole = [(name, text) for name, text, _ in self.records if text.endswith("\n")]
        return [(name, line) for name, text in whole for line in text[:-1].split("\n")]


@pytest.fixture
def lane() -> Lane:
    return Lane()


@contextlib.contextmanager
def streams() -> Iterator[tuple[io.StringIO, io.StringIO]]:
    """What stands for the terminal. pytest has streams of its own while a fixture is set up."""
    # A class of Python's: that of C takes no attribute.
    kind = type("Stream", (io.StringIO,), {})
    with contextlib.redirect_stdout(kind()) as out, contextlib.redirect_stderr(kind()) as err:
        yield out, err


@contextlib.contextmanager
def tapping(lane: Lane) -> Iterator[ConsoleTap]:
    """A tap of both streams."""
    with streams():
        tap = ConsoleTap(lane.offer)
        tap.start()
        yield tap
        tap.stop(lane.publish)


def test_lines_of_both_streams(lane: Lane) -> None:
    """A line is recorded when it ends; the terminal gets what it always got."""
    with tapping(lane):
        print("a", 1)
        print("b", file=sys.stderr)
        sys.stdout.write("two ")
        sys.stdout.writelines(["parts\n", "\n"])

        assert [("out", "a 1"), ("err", "b"), ("out", "two parts"), ("out", "")] == lane.lines
        assert ("a 1\ntwo parts\n\n", "b\n") == (
            sys.stdout.getvalue(),  # type: ignore[attr-defined]
            sys.stderr.getvalue(),  # type: ignore[attr-defined]
        )


def test_a_progress_bar_is_its_last_state(lane: Lane) -> None:
    """Parts that overwrite each other do not pile up, and are shown now and then."""
    with tapping(lane) as tap:
        for percent in range(1000):
            print(f"\r{percent}", end="")
        assert 1 == len(lane.records)
        assert ("out", "0", 0) == lane.records[0]
        assert sum(map(len, tap._open.values())) < 20
        print("\r100 %\r\n", end="")
        print("done\r        \r")

        assert [("out", "100 %"), ("out", "done")] == lane.lines


def test_the_last_line_needs_no_end(lane: Lane) -> None:
    """It is recorded when the run ends, with what the streams had before."""
    with tapping(lane) as tap:
        print("no end", end="")
        tap.stop(lane.publish)
        print("after")

        assert [("out", "no end")] == lane.lines
        assert "write" not in vars(sys.stdout)


def test_long_lines_are_divided(lane: Lane) -> None:
    """No record is larger than the limit, and nothing is left out."""
    with tapping(lane):
        text = "".join(str(n % 10) for n in range(5 * console.MOST_CHARACTERS + 3))
        sys.stdout.write(text)
        sys.stdout.write("\n")
        print("x\n" * console.MOST_CHARACTERS, end="")

        assert all(len(text) <= console.MOST_CHARACTERS + 1 for _, text, _ in lane.records)
        lines = [line for _, line in lane.lines]
        assert text == "".join(lines[: -console.MOST_CHARACTERS])
        assert ["x"] * console.MOST_CHARACTERS == lines[-console.MOST_CHARACTERS :]


def test_a_full_buffer_costs_lines_and_no_time(lane: Lane) -> None:
    """The next record that finds room says how many."""
    with tapping(lane):
        lane.has_room = False
        print("a\nb")
        print("c", file=sys.stderr)
        lane.has_room = True
        print("d")
        print("e")

        assert [("out", "d\n", 3), ("out", "e\n", 0)] == lane.records


def test_lines_that_are_lost_last_are_counted(lane: Lane) -> None:
    """The end of the run waits for room to say how many."""
    with tapping(lane) as tap:
        lane.has_room = False
        print("a\nb")
        tap.stop(lane.publish)

    assert [("out", "", 2)] == lane.records


def test_a_run_that_has_ended_is_left_alone(lane: Lane) -> None:
    """Printing goes on."""
    with tapping(lane):
        lane.is_closed = True
        print("a")
        print("b")

        assert "a\nb\n" == sys.stdout.getvalue()  # type: ignore[attr-defined]


def test_what_cannot_be_text_is_recorded_all_the_same(lane: Lane) -> None:
    """A lone surrogate becomes an escape."""
    with tapping(lane):
        print("caf\udce9")
        assert [("out", r"caf\udce9")] == lane.lines


def test_others_that_replace_write(lane: Lane) -> None:
    """Ours goes on below theirs, and passes on when the run has ended."""
    with tapping(lane) as tap:
        ours = sys.stdout.write
        seen: list[str] = []

        def theirs(text: str) -> Any:
            seen.append(text)
            return ours(text)

        sys.stdout.write = theirs  # type: ignore[method-assign]
        print("a")
        tap.stop(lane.publish)
        print("b")

        assert theirs is sys.stdout.write
        assert [("out", "a")] == lane.lines
        assert "a\nb\n" == "".join(seen) == sys.stdout.getvalue()  # type: ignore[attr-defined]


def test_a_write_that_was_taken_away_is_put_back(lane: Lane) -> None:
    """A notebook's cells have a `write` of their own: each line is recorded once."""
    with tapping(lane) as tap:
        out: Any = sys.stdout
        ours = out.write
        print("cell 1")
        del out.write  # IPython restores what it had before the cell
        before = out.write
        out.write = lambda text: before(text)
        tap.renew()
        tap.renew()
        print("cell 2")
        above = out.write
        out.write = lambda text: above(text)
        tap.renew()
        print("cell 3")

        assert ours is not above
        assert [("out", "cell 1"), ("out", "cell 2"), ("out", "cell 3")] == lane.lines


def test_two_runs_end_in_any_order(lane: Lane) -> None:
    """Each has what was printed while it was open."""
    with streams() as (printed, _):
        other = Lane()
        first, second = ConsoleTap(lane.offer), ConsoleTap(other.offer)
        first.start()
        second.start()
        print("both")
        first.stop(lane.publish)
        print("second")
        second.stop(other.publish)
        print("none")

        assert [("out", "both")] == lane.lines
        assert [("out", "both"), ("out", "second")] == other.lines
        assert "both\nsecond\nnone\n" == printed.getvalue()


def test_redirect_stdout_is_not_the_console(lane: Lane) -> None:
    """What a program keeps for itself is not printed."""
    with tapping(lane):
        with contextlib.redirect_stdout(io.StringIO()) as kept:
            print("kept")
        print("printed")

        assert ("kept\n", [("out", "printed")]) == (kept.getvalue(), lane.lines)


def test_a_print_in_the_middle_of_another_one(lane: Lane) -> None:
    """A signal handler or a finalizer may print while a line is recorded: no line is lost."""
    with tapping(lane) as tap:
        offer = lane.offer

        def interrupted(tag: int, *fields: Any) -> bool:
            if fields[1] == "outer\n":
                print("inner")
            return offer(tag, *fields)

        tap._offer = interrupted
        print("outer")

        assert [("out", "outer"), ("out", "inner")] == lane.lines


def test_threads(lane: Lane) -> None:
    """Every line of every thread is there once, whoever records it."""
    with tapping(lane):

        def write(thread: int) -> None:
            for number in range(300):
                sys.stdout.write(f"{thread} {number}\n")

        threads = [threading.Thread(target=write, args=(thread,)) for thread in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print("last")

        lines = [line for _, line in lane.lines]
        assert sorted(
            f"{thread} {number}" for thread in range(4) for number in range(300)
        ) == sorted(lines[:-1])


def test_lines_of_two_threads_do_not_mix(lane: Lane) -> None:
    """print() writes a line and its end in two calls; another thread may print in between."""
    with tapping(lane):
        sys.stdout.write("first")
        other = threading.Thread(target=print, args=("second",))
        other.start()
        other.join()
        sys.stdout.write("\n")

    assert [("out", "second"), ("out", "first")] == lane.lines


def test_a_stream_that_is_not_there(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    """sys.stdout may be None, or an object without attributes of its own."""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", io.BytesIO())
    tap = ConsoleTap(lane.offer)
    tap.start()
    tap.stop(lane.publish)
    assert [] == lane.records


def test_a_run_has_what_was_printed(run_base: Path) -> None:
    """In order, with its stream, without colors, and safe for a terminal."""
    with streams():
        with Experiment("e", "r", str(run_base), redirect_console=True, quiet=True) as run:
            print("\x1b[1;31mred\x1b[0m \x1b]0;title\x07and \x9b bell \x07")
            print("[2026-01-31T12:00:00.000Z] [err] forged", file=sys.stderr)
            print("open", end="")

        found = [(line.stream, line.producer, line.text) for line in Run(run.run_dir).console()]
        assert [
            ("out", "main", r"red and \x9b bell \x07"),
            ("err", "main", "[2026-01-31T12:00:00.000Z] [err] forged"),
            ("out", "main", "open"),
        ] == found
        assert [found[-1][2]] == [line.text for line in Run(run.run_dir).console(last=1)]
        assert all(line.time is not None for line in Run(run.run_dir).console())


@pytest.mark.parametrize(
    ("variable", "argument", "expected"),
    [(None, None, True), ("0", None, False), ("0", True, True), ("1", False, False)],
)
def test_whether_it_is_recorded(
    run_base: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str | None,
    argument: bool | None,
    expected: bool,
) -> None:
    """By default an Experiment records it and a LoggingEngine does not."""
    with streams():
        if variable is None:
            monkeypatch.delenv("EXPMAN_REDIRECT_CONSOLE", raising=False)
        else:
            monkeypatch.setenv("EXPMAN_REDIRECT_CONSOLE", variable)
        with Experiment("e", "r", str(run_base), redirect_console=argument, quiet=True) as run:
            print("a")
        assert expected == bool(Run(run.run_dir).console())
        with LoggingEngine(
            ExperimentConfig("e", str(run_base), redirect_console=argument)
        ) as engine:
            print("a")
        assert (expected and argument is True) == bool(Run(engine.run_dir).console())
