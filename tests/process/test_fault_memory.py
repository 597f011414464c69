"""Shared memory that is small, full or missing: smaller terms, a fallback, a clear error."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from process.faulty import Obeying, check_finished, fill
from process.runs import wait_until

pytestmark = pytest.mark.root

SHM = "mount -t tmpfs -o size={} shm /dev/shm"
FULL = f"{SHM.format('1m')} && head -c 1m /dev/zero >/dev/shm/ballast"
READ_ONLY = "mount -t tmpfs -o ro shm /dev/shm"
# A /dev without a shm: rmdir would take it from everybody.
MISSING = """mkdir dev && mount -t tmpfs dev dev && for name in null zero random urandom; do
    touch dev/$name && mount --bind /dev/$name dev/$name; done && mount --rbind dev /dev"""


@pytest.fixture
def tmp_path(disk_path: Path) -> Path:
    """What is in /dev/shm is not seen by these trainers."""
    return disk_path


class Confined(Obeying):
    """A trainer in a mount namespace of its own, after the commands that prepare it."""

    def __init__(self, program, base: Path, prepare: str, *settings: str) -> None:  # type: ignore[no-untyped-def]
        self.base = base
        own = base.parent / "tmp"
        own.mkdir()
        script = Path(__file__).parents[1] / "programs" / "obey.py"
        command = f'{prepare}\nexec "$PYTHON" "$@"'
        self.process = program(
            ["--mount", "sh", "-ec", command, "sh", str(script)],
            base,
            *settings,
            python="unshare",
            env={"TMPDIR": str(own), "PYTHON": sys.executable},
        )

    def segments(self, place: str) -> list[Path]:
        """Segments as the trainer sees them."""
        return list(Path(f"/proc/{self.process.pid}/root", place[1:]).rglob("expman-*-*-*"))


def test_small_shared_memory(program, run_base: Path):
    """In 1 MB the buffer grows no larger than there is room, and nothing is lost."""
    trainer = Confined(program, run_base, SHM.format("1m"))
    run_dir = trainer.open()
    assert trainer.segments("/dev/shm")
    trainer("log 100000")
    trainer("close 120")
    check_finished(run_dir, 100000)
    assert [] == trainer("state")["warnings"]


def test_shared_memory_filled_by_others(program, run_base: Path):
    """Others take all that is left while the run goes on: no SIGBUS, nothing lost."""
    trainer = Confined(program, run_base, SHM.format("4m"))
    run_dir = trainer.open()
    trainer("log 100")
    ballast = Path(f"/proc/{trainer.process.pid}/root/dev/shm/ballast")
    fill(ballast)
    trainer("log 100000")
    trainer("close 120")
    check_finished(run_dir, 100100)


@pytest.mark.parametrize(
    "prepare", [SHM.format("64k"), FULL, READ_ONLY, MISSING], ids=["tiny", "full", "ro", "missing"]
)
def test_fallback(program, run_base: Path, prepare: str):
    """Without room in /dev/shm, files in the temporary directory hold the records."""
    trainer = Confined(program, run_base, prepare)
    run_dir = trainer.open()
    assert trainer.segments(str(run_base.parent / "tmp"))
    trainer("log 20000")
    trainer("close 120")
    check_finished(run_dir, 20000)
    wait_until(lambda: not trainer.segments(str(run_base.parent / "tmp")), "released memory")


def test_no_memory_anywhere(program, run_base: Path):
    """Without room in the temporary directory either, the engine says so, and leaves no run."""
    prepare = f'{SHM.format("64k")} && mount -t tmpfs -o size=64k tmp "$TMPDIR"'
    trainer = Confined(program, run_base, prepare)
    error = trainer.try_("open run")["error"]
    assert error.startswith("SharedMemoryError: cannot reserve")
    for word in ("shm: No space", f"{run_base.parent / 'tmp'}: No space", "--shm-size", "TMPDIR"):
        assert word in error
    assert [] == list((run_base / "faults").iterdir())
    for place in ("/dev/shm", str(run_base.parent / "tmp")):
        assert [] == list(Path(f"/proc/{trainer.process.pid}/root", place[1:]).rglob("expman-*-*"))
    trainer.process.close_stdin()
    trainer.process.succeed()
