"""Records what comes through descriptors 1 and 2: also what C libraries and child processes print.

Both descriptors become pipes, or pseudo-terminals where there was a terminal. A relay, a process of
its own, reads them, records each line, and passes everything on to where it would have gone. It
needs neither this program's GIL nor the writer. This process holds both ends, so nobody gets
SIGPIPE if the relay dies: another one goes on with what waits in the pipes.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import subprocess
import sys
import termios
import threading
import time

from expman import notices
from expman.errors import ExpmanError
from expman.interpreter import start_relay
from expman.transport.owned import Descriptor, is_open_as, keep_off_streams

__all__ = ["CATCH_UP", "END", "DescriptorTap", "is_of", "is_relayed"]

PIPE_BYTES = 1024 * 1024
"""As much may be printed while no relay reads, where the system allows it."""
STOP_S = 5.0
RELAYS = 8
"""After as many have died one after the other, the program prints as without us."""
LASTS_S = 10.0
"""A relay that lived so long does not count among them."""
CATCH_UP, END = b"s", b"eeeeeeee"
"""Requests to a relay, which it answers with the same: to record and pass on what was printed; and
to end, too. END shows by its length, without being taken out of the pipe: so the successor of a
relay that is killed meanwhile gets it, too. Some of CATCH_UP may wait there, of a relay that was
stopped for longer than anybody has waited: they are fewer."""
VARIABLE = "EXPMAN_RELAYED"
"""Names, for child processes, the files that a relay reads."""


class _Stream:
    """One descriptor of the program, on its way through the relay.

    Attributes:
        name: "out" or "err".
        number: 1 or 2.
        source: what the relay reads.
        target: what the descriptor was before.
    """

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number
        keep_off_streams()
        self.target = Descriptor(os.dup(number))
        source, sink = _terminal_like(number) if os.isatty(number) else _pipe()
        self.source = Descriptor(source)
        self._sink = Descriptor(sink)

    def put_in_place(self) -> None:
        """From now on the descriptor leads to the relay."""
        os.dup2(self._sink.number(), self.number)

    @property
    def mark(self) -> str:
        """Identifies the file that the relay reads, in the child processes, too."""
        return _mark(*self._sink.identity)

    def restore(self) -> None:
        """Restores the descriptor, unless somebody has replaced ours."""
        with contextlib.suppress(OSError):
            if is_open_as(self.number, self._sink.identity):
                os.dup2(self.target.number(), self.number)
        self._sink.close()

    def drain(self) -> None:
        """Passes on what waits, without a relay."""
        with contextlib.suppress(OSError):
            os.set_blocking(self.source.number(), False)
            while data := os.read(self.source.number(), PIPE_BYTES):
                os.write(self.target.number(), data)

    def close(self) -> None:
        """Closes all."""
        for descriptor in (self.source, self._sink, self.target):
            descriptor.close()


class DescriptorTap:
    """Descriptors 1 and 2 on their way into a run.

    Args:
        address: of the run's engine.
        python: the interpreter that the user names for our processes, if any.
    """

    def __init__(self, address: str, python: str | None) -> None:
        self._address = address
        self._python = python
        self._streams: list[_Stream] = []
        self._ends: list[Descriptor] = []
        self._pid = os.getpid()
        self._asking = threading.Lock()

    def start(self) -> None:
        """Starts the relay, and leads both descriptors to it. Without one, all stays as it is."""
        try:
            for number, name in ((1, "out"), (2, "err")):
                with contextlib.suppress(OSError):  # it is closed
                    self._streams.append(_Stream(name, number))
            for _ in range(2):
                self._ends += map(Descriptor, os.pipe())
            relay = self._start_relay()
            watch = threading.Thread(
                target=self._watch, args=(relay,), name="expman-relay", daemon=True
            )
            _flush()
            for stream in self._streams:
                stream.put_in_place()
            watch.start()
            _taps.append(self)
        except (ExpmanError, OSError, RuntimeError) as exc:
            notices.warn(f"expman: the console is not recorded: {exc}")
            for stream in self._streams:
                stream.restore()
            self._close()
            return
        _set_marks(_marks() + [stream.mark for stream in self._streams])

    def has_taken(self, number: int) -> bool:
        """True if a descriptor leads to the relay."""
        return any(stream.number == number for stream in self._streams)

    def _start_relay(self) -> subprocess.Popen[bytes]:
        request, answer = self._ends[0].number(), self._ends[3].number()
        streams = [(s.name, s.source.number(), s.target.number()) for s in self._streams]
        return start_relay(
            self._address,
            str(request),
            str(answer),
            *(f"{name}:{source}:{target}" for name, source, target in streams),
            python=self._python,
            keep=(request, answer, *(fd for _, *fds in streams for fd in fds)),
        )

    def _watch(self, relay: subprocess.Popen[bytes]) -> None:
        """Starts another relay when one dies."""
        deaths = 0
        while True:
            began = time.monotonic()
            code = relay.wait()
            deaths = 1 if time.monotonic() - began > LASTS_S else deaths + 1
            if not code or not self._streams:  # the run has ended
                return
            try:
                if deaths < RELAYS:
                    relay = self._start_relay()
                    continue
                problem = f"{deaths} relays ended one after the other"
            except (ExpmanError, OSError) as exc:
                problem = str(exc)
            notices.warn(f"expman: the console is not recorded any more: {problem}")
            return self._give_up()

    def _give_up(self) -> None:
        """Lets the program print as without us."""
        _forget(self)
        for stream in self._streams:
            stream.restore()
            stream.drain()
        with contextlib.suppress(OSError):
            os.write(self._ends[3].number(), CATCH_UP + END)  # somebody may wait for it

    def stop(self) -> None:
        """Restores both descriptors, and waits until what was printed is recorded."""
        if not self._streams or os.getpid() != self._pid:
            return
        _flush()
        for later in reversed(_forget(self)):  # what comes to us comes through their relays
            later.catch_up()
        for stream in self._streams:
            stream.restore()
        ours = {stream.mark for stream in self._streams}
        _set_marks([mark for mark in _marks() if mark not in ours])
        self._ask(END)
        self._close()

    def catch_up(self) -> None:
        """Waits until what was printed is recorded, and passed on."""
        self._ask(CATCH_UP)

    def _ask(self, request: bytes) -> None:
        """Asks the relay for something, and waits for its answer, some seconds at most."""
        deadline = time.monotonic() + STOP_S
        if not self._asking.acquire(timeout=STOP_S):
            return
        try:
            os.write(self._ends[1].number(), request)
            source = self._ends[2].number()
            answer = select.poll()  # not select(): the number may be 1024 or more
            answer.register(source, select.POLLIN)
            while (left_s := deadline - time.monotonic()) > 0 and answer.poll(left_s * 1000):
                if request in os.read(source, 64):
                    break
        except (IndexError, OSError):  # closed, by the program or by another thread's `stop`
            pass
        finally:
            self._asking.release()

    def _close(self) -> None:
        for stream in self._streams:
            stream.close()
        for end in self._ends:
            end.close()
        self._streams.clear()


_taps: list[DescriptorTap] = []
"""Those at work, in the order in which they began: each gets what the later ones pass on."""


def _forget(tap: DescriptorTap) -> list[DescriptorTap]:
    """Takes one off the list; returns the later ones."""
    later: list[DescriptorTap] = []
    with contextlib.suppress(ValueError):  # it gave up meanwhile
        later = _taps[_taps.index(tap) + 1 :]
        _taps.remove(tap)
    return later


def is_of(stream: object, number: int) -> bool:
    """True if a stream of Python's writes to a descriptor of this number."""
    try:
        return bool(stream.fileno() == number)  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):  # a notebook's, or closed
        return False


def is_relayed(number: int) -> bool:
    """True if this process got a descriptor from a program whose relay records it."""
    try:
        info = os.fstat(number)
    except OSError:
        return False
    return _mark(info.st_dev, info.st_ino) in _marks()


def _mark(device: int, inode: int) -> str:
    return f"{device}:{inode}"


def _marks() -> list[str]:
    return os.environ.get(VARIABLE, "").split()


def _set_marks(marks: list[str]) -> None:
    if marks:
        os.environ[VARIABLE] = " ".join(marks)
    else:
        os.environ.pop(VARIABLE, None)


def _pipe() -> tuple[int, int]:
    source, sink = os.pipe()
    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return source, sink


def _terminal_like(number: int) -> tuple[int, int]:
    """A pseudo-terminal that behaves as the terminal of a descriptor, and changes no byte."""
    source, sink = os.openpty()
    with contextlib.suppress(OSError, termios.error):
        modes = termios.tcgetattr(number)
        modes[1] &= ~termios.OPOST  # the real terminal does it
        modes[3] &= ~(termios.ECHO | termios.ICANON | termios.TOSTOP)
        termios.tcsetattr(sink, termios.TCSANOW, modes)
        size = fcntl.ioctl(number, termios.TIOCGWINSZ, bytes(8))
        fcntl.ioctl(sink, termios.TIOCSWINSZ, size)
    return source, sink


def _flush() -> None:
    """Empties the buffers of Python's streams and of C's."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # closed, or none at all
            stream.flush()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).fflush(None)
