"""Provenance of a run for provenance.yaml: its code, command, packages and machine."""

from __future__ import annotations

import math
import os
import shlex
import time
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from expman.models import Program, safe_text
from expman.storage.paths import PROVENANCE_YAML
from expman.storage.provenance import PENDING, is_complete
from expman.storage.times import iso
from expman.transport.hello import Hello
from expman.writer.samplers.environment import (
    find_limits,
    find_packages,
    find_scheduler,
    host_facts,
)
from expman.writer.samplers.git import GitError, RunningGit, git_facts
from expman.writer.samplers.gpus import Gpus
from expman.writer.samplers.procfs import read_text
from expman.writer.samplers.sampler import Sampler
from expman.writer.samplers.samples import ProvenanceSample
from expman.writer.samplers.secrets import mask_arguments

__all__ = ["ProvenanceSampler"]

MOST_CHARS = 32 * 1024
"""Of a command line that are recorded."""
_RECORDER = "expman.recorded_command"
LATE_S = 60.0
"""So long after its start, a run whose program is gone has no provenance that could be trusted."""


class ProvenanceSampler(Sampler):
    """Finds out once per run what it was, without the trainer.

    What is known at once comes first; git may take a while, or never answer.
    """

    name = "provenance"
    spacing_s: ClassVar[float] = math.inf
    deadline_s: ClassVar[float] = 30.0
    awaited_s: ClassVar[float] = 0.5
    needs_trainer: ClassVar[bool] = False

    def __init__(self, hello: Hello) -> None:
        super().__init__(hello)
        self._git = RunningGit()

    @classmethod
    def spacing_for(cls, hello: Hello) -> float:
        """Once, if it is asked for."""
        return math.inf if hello.capture_provenance else 0.0

    def sample(self) -> Iterator[Any]:
        """Yields what is known at once, then the same with what git has answered."""
        hello = self.hello
        if is_complete(os.path.join(hello.run_dir, PROVENANCE_YAML)):
            return
        pid, age_s = self.find_trainer(), hello.age_s
        if not pid and age_s > LATE_S:
            return
        program = hello.program or Program()
        known = _known(hello, program, pid)
        yield ProvenanceSample({"git": {}, **known, "notes": [PENDING]})
        git: dict[str, object] = {}
        notes: list[str] = []
        try:
            for name, value in self._ask_git(program):
                git[name] = value
        except GitError as exc:
            notes.append(str(exc))
        if age_s > LATE_S:
            notes.append(f"recorded {age_s:.0f} s after the run began")
        found = {"git": git} if git else {}
        yield ProvenanceSample({**found, **known, **({"notes": notes} if notes else {})})

    def _ask_git(self, program: Program) -> Iterator[tuple[str, object]]:
        wanted = bool(self.hello.capture_diff)
        for place in filter(os.path.isdir, _places(program)):
            found = False
            for fact in git_facts(place, with_diff=wanted, running=self._git):
                found = True
                yield fact
            if found:
                return

    def stop(self) -> None:
        """Ends git."""
        self._git.stop()


def _places(program: Program) -> Iterator[str]:
    """Directories that may hold the code: the working directory, else that of the script."""
    yield program.cwd
    if program.argv and program.argv[0]:
        yield os.path.dirname(os.path.join(program.cwd, program.argv[0]))


def _known(hello: Hello, program: Program, pid: int) -> dict[str, object]:
    environ = _environ(pid) if pid else {}
    command = _command(pid) if pid else []
    if _RECORDER in command:  # what that one runs
        command = list(program.argv)
    command = command or [hello.env_path, *program.argv]
    found: dict[str, object] = {
        "command": _shortened(shlex.join(mask_arguments(command))),
        "hostname": hello.host.hostname,
        "scheduler": find_scheduler(environ),
        "recorded_at": iso(time.time_ns()),
        "cwd": program.cwd,
        "interpreter": {"path": hello.env_path, "version": program.python},
        "host": host_facts(environ),
        **Gpus().describe(),
        "limits": find_limits(pid) if pid else {},
        "packages": find_packages(program.path),
    }
    return {name: value for name, value in found.items() if value}


def _shortened(text: str) -> str:
    return text if len(text) <= MOST_CHARS else f"{text[:MOST_CHARS]}… ({len(text):,} characters)"


def _command(pid: int) -> list[str]:
    text = read_text(f"/proc/{pid}/cmdline")
    return [safe_text(word) for word in text.rstrip("\0").split("\0")] if text else []


def _environ(pid: int) -> Mapping[str, str]:
    """The environment that the process was started with."""
    pairs = (word.partition("=") for word in read_text(f"/proc/{pid}/environ").split("\0"))
    return {name: value for name, mark, value in pairs if mark}
