"""Media of forked children, and those that both processes leave behind when they are killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pyarrow.parquet as pq
from process.runs import DEADLINE_S, kill_writers, wait_for_end, wait_until, writer_of

from expman import Run
from expman.writer.recover import recover

SIDE = 300
PROGRAM = f"""
import os, sys
from expman import ExperimentConfig, LoggingEngine

def picture(value):
    return memoryview(bytes([value]) * {SIDE * SIDE}).cast("B", ({SIDE}, {SIDE}))

engine = LoggingEngine(ExperimentConfig("media", sys.argv[1], run_name="run"))
engine.log_image("owner", picture(1), 1)
engine.flush()
print(engine.run_dir)
sys.stdin.readline()
child = os.fork()
who = "owner" if child else "child"
for step in (2, 3):
    engine.log_image(who, picture(step), step)
    engine.log_text("text", who, step)
    engine.log_histogram(who, edges=[0, 1], counts=[step], step=step)
if not child:
    os._exit(0)
os.waitpid(child, 0)
print("logged")
sys.stdin.readline()
engine.close()
print("closed")
"""

IN_TURN = f"""
import os, sys
from expman import ExperimentConfig, LoggingEngine

def picture(value):
    return memoryview(bytes([value]) * {SIDE * SIDE}).cast("B", ({SIDE}, {SIDE}))

engine = LoggingEngine(ExperimentConfig("media", sys.argv[1], run_name="run"))
for step in range(2):
    child = os.fork()
    if not child:
        engine.log_vector({{"n": step}}, step)
        engine.log_image("child", picture(step), step)
        os._exit(0)
    os.waitpid(child, 0)
engine.log_vector({{"n": 2}}, 2)
print(engine.run_dir)
sys.stdin.readline()
engine.close()
"""

IMPORTING = f"""
import os, signal, sys, threading
from expman import ExperimentConfig, LoggingEngine

SIDE = 600
begun, forked = threading.Event(), threading.Event()
main = threading.main_thread().ident

class Finder:
    def find_spec(self, name, path, target=None):
        if name == "expman.storage.media_spool" and not begun.is_set():
            begun.set()
            while sys._current_frames()[main].f_code.co_name != "_before" and not forked.is_set():
                pass

engine = LoggingEngine(ExperimentConfig("media", sys.argv[1], max_buffer_bytes=1 << 20))
picture = memoryview(bytes(SIDE * SIDE)).cast("B", (SIDE, SIDE))
sys.meta_path.insert(0, Finder())
thread = threading.Thread(target=engine.log_image, args=("owner", picture))
thread.start()
begun.wait()
child = os.fork()
if not child:
    signal.alarm({DEADLINE_S:.0f})
    engine.log_image("child", picture)
    os._exit(0)
forked.set()
assert 0 == os.waitpid(child, 0)[1]
thread.join()
engine.close()
print(engine.run_dir)
"""


def check(run_dir: Path) -> None:
    """Everything is there once, with its producer."""
    run = Run(run_dir)
    found = {(item.tag, item.step, item.producer) for item in run.media(kind="image")}
    owner = {("owner", step, "main") for step in (1, 2, 3)}
    assert owner | {("child", step, "worker-0") for step in (2, 3)} == found
    assert 9 == len(run.media())
    steps = sorted((row.tag, row.step, row.producer) for row in run.histograms())
    assert [("child", 2), ("child", 3), ("owner", 2), ("owner", 3)] == [one[:2] for one in steps]
    assert ["worker-0"] * 2 + ["main"] * 2 == [one[2] for one in steps]
    assert not (run_dir / ".artifacts-staging").exists()


def test_a_forked_child_logs_media(program, run_base: Path) -> None:  # type: ignore[no-untyped-def]
    """It has spools of its own: neither writes into one of the other's."""
    trainer = program(["-c", PROGRAM, str(run_base)])
    run_dir = Path(trainer.read_line())
    trainer.send_line()
    trainer.expect_line("logged")
    trainer.send_line()
    trainer.expect_line("closed")
    trainer.succeed()
    check(run_dir)


def test_workers_whose_pictures_wait_for_a_slow_disk(
    program, run_base: Path, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    """The lane of a dead worker stays until its picture is in a file; the next one has its name."""
    held = tmp_path / "held"
    held.touch()
    env = {"EXPMAN_FAILPOINTS": f"request-after-data=wait:{held}"}
    trainer = program(["-c", IN_TURN, str(run_base)], env=env)
    run_dir = Path(trainer.read_line())
    wait_until(
        lambda: any(row.get("n") == 2 for row in Run(run_dir).vectors().to_pylist()), "a row"
    )
    assert [] == Run(run_dir).media()
    held.unlink()
    trainer.send_line()
    trainer.succeed()
    found = sorted((item.tag, item.step, item.producer) for item in Run(run_dir).media())
    assert [("child", 0, "worker-0"), ("child", 1, "worker-0")] == found
    rows = pq.read_table(run_dir / "vectors.parquet").to_pylist()
    expected = [(0, "worker-0", 0), (1, "worker-0", 1), (2, "main", 0)]
    assert expected == sorted((row["n"], row["_producer"], row["_seq"]) for row in rows)


def test_a_fork_waits_for_the_import_of_another_thread(program, run_base: Path) -> None:  # type: ignore[no-untyped-def]
    """Else the child would wait for good where it needs the module: for the thread's lock of it."""
    trainer = program(["-c", IMPORTING, str(run_base)])
    run_dir = Path(trainer.read_line())
    trainer.succeed()
    assert ["child", "owner"] == sorted(item.tag for item in Run(run_dir).media())


def test_both_are_killed(program, run_base: Path) -> None:  # type: ignore[no-untyped-def]
    """What no writer has taken is in the lanes and the spools: recover() stores it."""
    trainer = program(["-c", PROGRAM, str(run_base)])
    run_dir = Path(trainer.read_line())
    writer = writer_of(trainer.pid)
    os.kill(writer.pid, signal.SIGSTOP)
    trainer.send_line()
    trainer.expect_line("logged")
    assert 1 == len(Run(run_dir).media())
    trainer.kill()
    kill_writers(writer.token, writer.pid)
    wait_until(lambda: [*recover(run_base)] and wait_for_end(run_dir), "the recovery")
    check(run_dir)
