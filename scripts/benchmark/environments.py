"""The environments of contestants, made by scripts/environment.sh under .cache/."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.contestants import Contestant

ROOT = Path(__file__).resolve().parents[2]
_SCRIPT = 'source scripts/environment.sh && make_environment "$@"'


@dataclass(frozen=True)
class Environment:
    """Where a contestant runs: its interpreter, or why there is none."""

    python: str
    versions: dict[str, str]
    error: str | None = None


def tag() -> str:
    """Names this interpreter: two builds of one Python version have environments of their own.

    scripts/bench has put it into the name of the environment that this process runs in.
    """
    return Path(sys.prefix).name.removeprefix("env-bench-")


def make(contestant: Contestant) -> Environment:
    """Makes a contestant's environment, or finds it; the project's own is this process's."""
    if not contestant.packages:
        return Environment(sys.executable, _versions(sys.executable))
    return make_named(contestant.environment, contestant.packages)


def make_named(environment: str, packages: Sequence[str]) -> Environment:
    """Makes the environment with these packages, or finds it."""
    name = f"bench-{tag()}-{environment}"
    base_python = getattr(sys, "_base_executable", sys.executable)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", _SCRIPT, "bash", name, *packages],
        cwd=ROOT,
        env=os.environ | {"PYTHON": base_python},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        return Environment("", {}, f"cannot be installed: {' / '.join(lines[-3:])}"[:500])
    python = str(ROOT / ".cache" / f"env-{name}" / "bin" / "python")
    return Environment(python, _versions(python))


def _versions(python: str) -> dict[str, str]:
    code = (
        "import importlib.metadata as m\n"
        "for one in m.distributions(): print(one.metadata['Name'], one.version)"
    )
    output = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return dict(line.split(" ", 1) for line in output.stdout.splitlines())
