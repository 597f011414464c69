"""Runs one job in a child process and sees it and all that it has started to their end."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from typing import Any

from benchmark import processes
from benchmark.environments import ROOT

_CODE = "import sys; sys.path.append(sys.argv.pop()); from benchmark.child import main; main()"
_PR_SET_CHILD_SUBREAPER = 36
_LOOK_S = 0.02
_KEPT_VARIABLES = ("LANG", "LD_LIBRARY_PATH", "PATH", "TMPDIR")


def adopt_orphans() -> None:
    """Makes this process the parent of what its jobs leave behind, so that it can wait for it."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Runner:
    """Runs jobs, one at a time, each in a directory of its own that is removed afterwards.

    Args:
        scratch: where those directories are made.
        limit_s: what runs longer is killed and reported.
        grace_s: for what a child leaves behind, to end by itself.
    """

    def __init__(self, scratch: str, limit_s: float = 90.0, grace_s: float = 15.0) -> None:
        self._scratch = scratch
        self._limit_s = limit_s
        self._grace_s = grace_s
        self._home = os.path.join(scratch, "home")
        os.makedirs(self._home, exist_ok=True)

    def run(self, python: str, job: dict[str, Any], then: dict[str, Any] | None = None) -> Any:
        """Runs a job, and another one in the same directory after everything of it has ended.

        Returns:
            `{"result": …}` or `{"error": …}` of the last one, with what all its processes used.
        """
        directory = tempfile.mkdtemp(prefix="job-", dir=self._scratch)
        try:
            answer = self._run_one(python, job | {"directory": directory})
            if then is not None and answer.get("killed") == -signal.SIGKILL:
                answer = self._run_one(python, then | {"directory": directory})
            return answer
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _run_one(self, python: str, job: dict[str, Any]) -> dict[str, Any]:
        work = os.path.join(job["directory"], "data")
        os.makedirs(work, exist_ok=True)
        kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        token = {processes.TOKEN_VARIABLE: uuid.uuid4().hex, "HOME": self._home}
        # Files, not pipes: what dies before it reads, or writes much, blocks nobody.
        with (
            tempfile.TemporaryFile() as question,
            tempfile.TemporaryFile() as output,
            tempfile.TemporaryFile() as errors,
        ):
            question.write(json.dumps(job | {"directory": work}).encode())
            question.seek(0)
            child = subprocess.Popen(
                [python, "-c", _CODE, str(ROOT / "scripts")],
                stdin=question,
                stdout=output,
                stderr=errors,
                cwd=job["directory"],
                env=kept | token | {"PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
            usage = self._see_to_the_end(child)
            output.seek(0)
            errors.seek(0)
            return _answer(child.returncode, output.read(), errors.read(), usage)

    def _see_to_the_end(self, child: subprocess.Popen[bytes]) -> dict[str, Any]:
        """Waits for the child and all orphans; kills what takes too long."""
        peaks: dict[int, int] = {}
        deadline = time.monotonic() + self._limit_s
        late, left, cpu_s = False, 0, 0.0
        while True:
            for pid in processes.children_of(os.getpid()):
                if pid != child.pid:
                    peaks[pid] = max(peaks.get(pid, 0), processes.peak_memory_bytes(pid))
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                if time.monotonic() > deadline:
                    if child.returncode is None:
                        late = True
                    left += self._kill_all()
                    deadline = time.monotonic() + self._grace_s
                time.sleep(_LOOK_S)
                continue
            cpu_s += used.ru_utime + used.ru_stime
            if pid == child.pid:
                child.returncode = os.waitstatus_to_exitcode(status)
                deadline = time.monotonic() + self._grace_s
        return {
            "late": late,
            "left_behind": 0 if late else left,
            "cpu_s": cpu_s,
            "others_peak_bytes": max(peaks.values(), default=0),
        }

    def _kill_all(self) -> int:
        pids = processes.children_of(os.getpid())
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return len(pids)


def _answer(
    code: int | None, output: bytes, errors: bytes, usage: dict[str, Any]
) -> dict[str, Any]:
    if usage["late"]:
        answer: dict[str, Any] = {"error": "took too long and was ended"}
    elif output:
        answer = json.loads(output)
    else:
        last = errors.decode(errors="replace").strip().splitlines()[-1:]
        answer = {"error": f"ended with {code}: {' '.join(last)}"[:500], "killed": code}
    return answer | {"usage": usage, "stderr_tail": errors[-1500:].decode(errors="replace")}
