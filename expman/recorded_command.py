"""Records any command as a run: `expman-writer run --experiment NAME -- COMMAND`.

The command knows nothing of it. The run has what it prints, where it ran, samples of the machine
and how it ended. Inside the command EXPMAN_RUN leads to the run: `expman.attach()` adds rows to it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from expman.attaching import RUN_VARIABLE
from expman.errors import ExpmanError
from expman.experiment import Experiment
from expman.forwarding import Forwarder, shell_status, status_without_start
from expman.models import RunStatus
from expman.settings import SETTINGS

__all__ = ["main"]

FAILED = 1
_DEFAULTS = {"redirect_console": "fd", "hang_after_s": 0}
"""Its own defaults: the command may be of any kind, and need not log rows."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and records it.

    Args:
        arguments: settings as NAME=VALUE, "--", and the command.

    Returns:
        As in a shell: the command's exit status; 128 + n if signal n killed it; 127 or 126 if it
        cannot be started; 1 if no run can be made.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    mark = given.index("--")
    command = given[mark + 1 :]
    sys.argv[:] = command  # what provenance.yaml has
    forward = Forwarder()
    try:
        run = Experiment(**_settings(given[:mark]))  # type: ignore[arg-type]
    except ExpmanError as exc:
        print(f"expman-writer: {exc}", file=sys.stderr)
        return FAILED
    try:
        child = subprocess.Popen(command, env={**os.environ, RUN_VARIABLE: run.engine.address})
    except OSError as exc:
        problem = f"{command[0]}: {exc.strerror}"
        _close(run, RunStatus.FAILED, problem)
        print(f"expman-writer: {problem}", file=sys.stderr)
        return status_without_start(exc)
    forward.to(child)
    status = child.wait()
    if status < 0:
        _close(run, RunStatus.CRASHED, f"the command was killed by {_name_of(-status)}")
    elif status:
        _close(run, RunStatus.FAILED, f"the command ended with exit status {status}")
    else:
        _close(run, RunStatus.FINISHED, None)
    return shell_status(status)


def _settings(given: Sequence[str]) -> dict[str, object]:
    own = {
        name: value
        for name, value in _DEFAULTS.items()
        if not os.environ.get(SETTINGS[name].variable or "")
    }
    pairs = (setting.partition("=") for setting in given)
    return {**own, **{name: value for name, _, value in pairs}}


def _close(run: Experiment, status: RunStatus, reason: str | None) -> None:
    try:
        run.close(status, reason)
    except ExpmanError as exc:
        print(f"expman-writer: {exc}", file=sys.stderr)


def _name_of(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


if __name__ == "__main__":
    sys.exit(main())
