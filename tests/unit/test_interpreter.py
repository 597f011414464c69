"""What our processes start with."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from expman import interpreter

PROBE = """
import sys

def main():
    import msgspec

    assert msgspec.json.decode(b"[1]", type=list[int]) == [1]
    print(sys.modules["typing_extensions"], "inspect" in sys.modules)
"""


def test_msgspec_does_without_typing_extensions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would import `inspect` with it, for names that `typing` has, too."""
    (tmp_path / "probe_of_modules.py").write_text(PROBE)
    monkeypatch.syspath_prepend(tmp_path)
    outputs = (subprocess.PIPE, subprocess.DEVNULL)
    with interpreter._start("probe_of_modules", (), None, outputs) as process:
        found, _ = process.communicate(timeout=60)
    assert ["None", "False"] == found.decode().split()
