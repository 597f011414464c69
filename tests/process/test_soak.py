"""Random faults for two minutes; scripts/soak does it for as long as one likes."""

from __future__ import annotations

from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "soak.py"
MINUTES = 2


@pytest.mark.soak
@pytest.mark.timeout(60 * MINUTES + 300)
def test_two_minutes_of_faults(program, tmp_path: Path) -> None:
    """No row is lost, doubled or torn, whatever dies or stops."""
    options = ("--minutes", MINUTES, "--seed", "20260131")
    soak = program(SCRIPT, *options, env={"TMPDIR": str(tmp_path)})
    assert "no row lost, doubled or torn" in soak.succeed(60 * MINUTES + 240)
