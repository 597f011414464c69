"""Asks git about the code of a run, with a deadline; a git that hangs is ended."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import NamedTuple

from expman.writer.samplers.secrets import is_secret_file, without_credentials

__all__ = ["GitError", "RunningGit", "git_facts"]

DEADLINE_S = 10.0
"""For all questions together."""
MOST_DIFF_BYTES = 1 << 20
MOST_FILE_BYTES = 100 * 1024
MOST_UNTRACKED = 200
_MOST_BYTES = 8 << 20
_NO_PLACE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE")
_ASKED_BY_NOBODY = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
_PLAIN = ("-c", "core.fsmonitor=false", "-c", "core.quotepath=false", "--no-pager")


class GitError(Exception):
    """Git gave no answer; the text says why."""


class _Answer(NamedTuple):
    """Output of git.

    Attributes:
        data: the first bytes of it.
        left_out: how many bytes more there were.
        status: the exit status.
    """

    data: bytes
    left_out: int
    status: int

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "replace").strip("\n\0")


class RunningGit:
    """The git that runs now, if one does: another thread may end it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._is_stopped = False

    def note(self, process: subprocess.Popen[bytes]) -> None:
        """Notes a process that was started."""
        self._process = process
        if self._is_stopped:
            self._kill(process)

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Ends a process and its children, without waiting for a pipe that one of them holds."""
        self._process = None
        self._kill(process)
        assert process.stdout is not None
        process.stdout.close()
        process.wait()

    def stop(self) -> None:
        """Ends the process that runs now, and each one that is started from now on."""
        self._is_stopped = True
        process = self._process
        if process is not None:
            self._kill(process)

    @staticmethod
    def _kill(process: subprocess.Popen[bytes]) -> None:
        if process.returncode is None:  # its pid, and its group, are not used again before
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)


def git_facts(
    directory: str, *, with_diff: bool, running: RunningGit | None = None
) -> Iterator[tuple[str, object]]:
    """Yields what git knows about a directory, the cheapest first.

    Args:
        directory: any directory of a work tree.
        with_diff: also the changes and the small untracked text files, as one diff.
        running: notes the processes that are started.

    Yields:
        `commit`, `branch`, `remote` (without credentials), `root`, `dirty`, and `diff`,
        `diff_truncated_bytes`, `untracked_left_out` as far as they are asked for. Nothing if the
        directory is in no repository.

    Raises:
        GitError: git is not there, failed, or took longer than the deadline.
    """
    git = _Git(directory, running or RunningGit())
    root = git.ask("rev-parse", "--show-toplevel")
    if root.status:
        if b"not a git repository" in root.data or b"ot a git repo" in root.data:
            return
        raise GitError(f"git cannot be asked about {directory}: {root.text[:300]}")
    commit = git.ask("rev-parse", "--verify", "--quiet", "HEAD")
    if not commit.status:
        yield "commit", commit.text
    branch = git.ask("symbolic-ref", "--quiet", "--short", "HEAD")
    if not branch.status:
        yield "branch", branch.text
    remote = git.ask("config", "--get", "remote.origin.url")
    if not remote.status:
        yield "remote", without_credentials(remote.text)
    yield "root", root.text
    status = git.ask("status", "--porcelain", "-z", "--untracked-files=normal")
    if status.status:
        raise GitError(f"git status failed: {status.text[:300]}")
    yield "dirty", bool(status.data)
    if with_diff and not commit.status:
        yield from _changes(git, root.text)


def _changes(git: _Git, root: str) -> Iterator[tuple[str, object]]:
    plain = ("--no-color", "--no-ext-diff", "--no-textconv")
    changes = git.ask("-C", root, "diff", *plain, "HEAD", limit=MOST_DIFF_BYTES)
    data, left_out = changes.data, changes.left_out
    listed = git.ask("-C", root, "ls-files", "-z", "--others", "--exclude-standard")
    names = [name for name in listed.data.split(b"\0") if name] if not listed.status else []
    skipped: list[str] = []
    for number, raw in enumerate(names):
        name = os.fsdecode(raw)
        if number < MOST_UNTRACKED and len(data) < MOST_DIFF_BYTES and _is_small(root, name):
            added = git.ask(
                *("-C", root, "diff", *plain, "--no-index", "--", "/dev/null", name),
                limit=MOST_DIFF_BYTES - len(data),
            )
            if added.status <= 1 and not added.left_out and b"\nBinary files " not in added.data:
                data += added.data
                continue
        skipped.append(name.encode("utf-8", "backslashreplace").decode())
    if data:
        yield "diff", data.decode("utf-8", "replace").rstrip("\n")
    if left_out:
        yield "diff_truncated_bytes", left_out
    if skipped:
        yield "untracked_left_out", skipped[:MOST_UNTRACKED]


def _is_small(root: str, name: str) -> bool:
    if is_secret_file(name):
        return False
    try:
        info = os.lstat(os.path.join(root, name))
    except OSError:
        return False
    return info.st_size <= MOST_FILE_BYTES


def _find_git() -> str:
    """The path of git. Not by `shutil.which`: a short run has no other use for that module.

    Raises:
        GitError: there is none.
    """
    for directory in os.get_exec_path():
        path = os.path.join(directory, "git")
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise GitError("git is not installed: the commit is not known")


class _Git:
    """Git, asked about one directory."""

    def __init__(self, directory: str, running: RunningGit) -> None:
        self._directory = directory
        self._running = running
        self._deadline = time.monotonic() + DEADLINE_S
        self._program = _find_git()

    def ask(self, *question: str, limit: int = _MOST_BYTES) -> _Answer:
        """Runs git; what it prints on stderr counts as an answer if it fails.

        Raises:
            GitError: it cannot be started, or the deadline is over.
        """
        environment = {k: v for k, v in os.environ.items() if k not in _NO_PLACE}
        try:
            process = subprocess.Popen(
                [self._program, *_PLAIN, *question],
                cwd=self._directory,
                env=environment | _ASKED_BY_NOBODY,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as exc:
            raise GitError(f"git cannot be started in {self._directory}: {exc.strerror}") from exc
        self._running.note(process)
        try:
            return self._listen(process, limit)
        finally:
            self._running.end(process)

    def _listen(self, process: subprocess.Popen[bytes], limit: int) -> _Answer:
        assert process.stdout is not None
        fd = process.stdout.fileno()
        ready = select.poll()  # not select(): the number may be 1024 or more
        ready.register(fd, select.POLLIN)
        data, left_out = bytearray(), 0
        while True:
            rest_s = self._deadline - time.monotonic()
            if rest_s <= 0 or not ready.poll(rest_s * 1000):
                raise GitError(f"git has not answered within {DEADLINE_S:g} s; it was ended")
            piece = os.read(fd, 1 << 16)
            if not piece:
                break
            room = max(0, limit - len(data))
            data += piece[:room]
            left_out += len(piece[room:])
        try:
            status = process.wait(max(0.0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired as exc:
            raise GitError(f"git has not ended within {DEADLINE_S:g} s; it was ended") from exc
        return _Answer(bytes(data), left_out, status)
