"""Has a run that exists go on, in a process that may read its files: `expman-writer take-over`."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Callable, Iterator

from expman import notices
from expman.errors import ExpmanError, ResumeError
from expman.interpreter import start_writer
from expman.models import ExperimentConfig

__all__ = ["resume_run"]

_LOOK_MS = 200
_PREFIX = "expman-writer: "


def resume_run(config: ExperimentConfig, is_called_off: Callable[[], bool]) -> int:
    """Begins the next attempt of a run, if the configuration asks for it and the run exists.

    It waits until the last attempt has ended. The user is warned if that is not so at once.

    Args:
        config: the configuration.
        is_called_off: True once nobody waits for the run any more.

    Returns:
        The number of the attempt; 1: the run is to be created.

    Raises:
        ResumeError: it is live, or cannot be taken over, or there is none and there must be.
        ConfigError: there is no interpreter to do it with.
        ExpmanError: the process cannot be started.
    """
    if config.resume == "never":
        return 1
    run_dir = config.run_dir
    if not os.path.isdir(run_dir):
        if config.resume == "must":
            raise ResumeError(run_dir, 'it does not exist; resume="allow" would create it')
        return 1
    step = [] if config.from_step is None else ["--from-step", str(config.from_step)]
    pipe = subprocess.PIPE
    try:
        process = start_writer(
            *("take-over", os.path.abspath(run_dir), "--pid", str(os.getpid()), *step),
            python=config.python,
            stdout=pipe,
            stderr=pipe,
        )
    except OSError as exc:
        raise ExpmanError(f"run {run_dir} cannot go on: no process can be started: {exc}") from exc
    with process:
        return _result(process, run_dir, is_called_off)


def _result(
    process: subprocess.Popen[bytes], run_dir: str, is_called_off: Callable[[], bool]
) -> int:
    """Waits for the number of the attempt, and shows the user what it waits for."""
    why = ""
    for line in _lines(process, is_called_off):
        if line.startswith(_PREFIX):
            why = line.removeprefix(_PREFIX)
        else:
            notices.warn(f"expman: {line}")
    status = process.wait()
    assert process.stdout is not None
    attempt = process.stdout.read().strip()
    if not status and attempt.isdigit():
        return int(attempt)
    why = why or f"expman-writer take-over ended with status {status}"
    raise ResumeError(run_dir, why.removeprefix(f"run {os.path.abspath(run_dir)} cannot go on: "))


def _lines(process: subprocess.Popen[bytes], is_called_off: Callable[[], bool]) -> Iterator[str]:
    """The lines of its standard error, until it ends."""
    assert process.stderr is not None
    fd = process.stderr.fileno()
    ready = select.poll()  # not select(): the number may be 1024 or more
    ready.register(fd, select.POLLIN)
    text = b""
    while not is_called_off():
        if not ready.poll(_LOOK_MS):
            continue
        piece = os.read(fd, 65536)
        *lines, text = (text + piece).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
        if not piece:
            return
    process.kill()
