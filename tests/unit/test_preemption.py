"""on_preemption: signals are noticed, passed on, and never swallowed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

import expman
from expman import ConfigError, Preempted, on_preemption


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Each test begins and ends with the same handlers."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    for number in before:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_loop_that_asks() -> None:
    """It is true from the signal on; the end of the block raises Preempted, a SystemExit."""
    seen = []

    def loop() -> None:
        with on_preemption() as preempted:
            for step in range(5):
                seen.append((step, bool(preempted)))
                if preempted:
                    break
                signal.raise_signal(signal.SIGUSR1)

    with pytest.raises(Preempted, match="preempted by SIGUSR1") as caught:
        loop()
    assert [(0, False), (1, True)] == seen
    assert (128 + signal.SIGUSR1, signal.SIGUSR1) == (caught.value.code, caught.value.signal)
    assert isinstance(caught.value, SystemExit)
    assert signal.SIG_DFL == signal.getsignal(signal.SIGUSR1)


def test_no_signal() -> None:
    """Without one nothing happens, and the handlers are as before."""
    with on_preemption() as preempted:
        assert not preempted
        assert None is preempted.signal
    assert signal.SIG_DFL == signal.getsignal(signal.SIGTERM)


def test_a_callback() -> None:
    """It is called at the first signal, then Preempted is raised there."""
    calls: list[str] = []
    watch = on_preemption(lambda: calls.append("saved"))
    with pytest.raises(Preempted, match="SIGTERM"):
        signal.raise_signal(signal.SIGTERM)
    with pytest.raises(Preempted):
        signal.raise_signal(signal.SIGTERM)
    watch.cancel()
    assert ["saved"] == calls


@pytest.mark.parametrize("callback", [None, lambda: None])
def test_the_handler_before(callback: object) -> None:
    """It gets the signal: after the callback, or at the end of the block."""
    got: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: got.append(number))
    with on_preemption(callback) as preempted:  # type: ignore[arg-type]
        signal.raise_signal(signal.SIGTERM)
        assert preempted
        assert ([signal.SIGTERM] if callback else []) == got
    assert [signal.SIGTERM] == got


def test_an_ignored_signal_stays_ignored() -> None:
    """What was ignored ends nothing."""
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    with on_preemption() as preempted:
        signal.raise_signal(signal.SIGUSR1)
        assert preempted


def test_an_exception_is_not_hidden() -> None:
    """An exception that leaves the block counts more than the signal."""
    with pytest.raises(ValueError, match="mine"), on_preemption() as preempted:
        raise ValueError("mine" * bool(signal.raise_signal(signal.SIGTERM) or preempted))


def test_a_handler_that_came_later_stays() -> None:
    """Ours is put back only where it still is."""
    watch = on_preemption()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    watch.cancel()
    assert signal.SIG_IGN == signal.getsignal(signal.SIGTERM)


def test_a_forked_worker_dies_as_before() -> None:
    """A DataLoader's worker that gets SIGTERM saves no checkpoint."""
    read, write = os.pipe()
    with on_preemption(lambda: os.write(write, b"saved")):
        pid = os.fork()
        if not pid:
            os.write(write, b"r")  # a signal that comes while Python forks is forgotten
            while True:
                time.sleep(0.01)
        assert b"r" == os.read(read, 1)
        os.kill(pid, signal.SIGTERM)
        _, status = os.waitpid(pid, 0)
    os.close(write)
    assert signal.SIGTERM == os.WTERMSIG(status)
    assert b"" == os.read(read, 9)
    os.close(read)


def test_another_thread() -> None:
    """Only the main thread can handle signals: the error says so."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            on_preemption()
        except ConfigError as exc:
            errors.append(exc)

    thread = threading.Thread(target=run, name="mine")
    thread.start()
    thread.join()
    assert "main thread" in str(errors[0])


def test_the_reason_of_a_run(run_base: object) -> None:
    """A run that Preempted leaves has FAILED with that reason."""
    run = expman.init("e", "r", str(run_base), quiet=True)
    with pytest.raises(Preempted), run, on_preemption():
        signal.raise_signal(signal.SIGTERM)
    assert ("FAILED", "preempted by SIGTERM") == (
        expman.Run(run.run_dir).status,
        expman.Run(run.run_dir).reason,
    )
