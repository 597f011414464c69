"""The signal and the file that a process's stacks go to."""

from __future__ import annotations

import os
from pathlib import Path

from expman.capture.stacks import StackDumps


def test_a_number_that_is_the_programs_own_is_not_closed(tmp_path: Path) -> None:
    """A program that closes all descriptors and opens files keeps those."""
    dumps = StackDumps(str(tmp_path))
    before = set(os.listdir("/proc/self/fd"))
    dumps.start()
    (number,) = [
        int(name)
        for name in set(os.listdir("/proc/self/fd")) - before
        if os.path.exists(f"/proc/self/fd/{name}")
    ]
    own = os.open(tmp_path / "own", os.O_WRONLY | os.O_CREAT)
    os.dup2(own, number)
    dumps.stop()
    try:
        assert 3 == os.write(number, b"abc")
        assert b"abc" == (tmp_path / "own").read_bytes()
    finally:
        os.close(number)
        os.close(own)
