"""A writer's messages and its end, whatever the program does with descriptors."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator

import pytest

from expman.launch import child
from expman.launch.child import Child

Start = Callable[[str], subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a shell command, which has a pipe for its messages."""
    started: list[subprocess.Popen[bytes]] = []

    def start_one(command: str) -> subprocess.Popen[bytes]:
        pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(["sh", "-c", command], **pipes))  # type: ignore[call-overload]
        return started[-1]

    yield start_one
    for process in started:
        process.communicate()


def answer(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()


def test_messages_and_the_end(start: Start) -> None:
    """Each line is a message; the end is the process's, though somebody has its pipe open."""
    process = start("echo word >&2; read line; echo last >&2; exit 7")
    assert process.stderr is not None
    held = os.dup(process.stderr.fileno())
    writer = Child(process)
    messages = writer.messages()
    assert "word" == next(messages)
    answer(process)
    assert ["last", ""] == list(messages)
    assert 7 == writer.wait()
    os.close(held)


def test_descriptors_that_are_replaced_right_before_the_wait(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end is noticed all the same, and nothing of the program's is read."""
    process = start("read line; exit 7")
    own = list(os.pipe())

    class Poll:
        """Waits for descriptors that the program has replaced by its own meanwhile."""

        def register(self, number: int, events: int) -> None:
            own.append(os.dup2(own[0], number, inheritable=False))

        def poll(self, timeout_ms: float) -> list[tuple[int, int]]:
            answer(process)
            process.wait()
            return []

    monkeypatch.setattr(child.select, "poll", Poll)
    writer = Child(process)
    assert [""] == list(writer.messages())
    assert 7 == writer.wait()
    for number in own:
        os.close(number)
