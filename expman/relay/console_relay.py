"""Reads what a program prints, records it, and passes it on to where it would have gone.

The streams come through pipes, or through pseudo-terminals where the program has a terminal. Each
piece is recorded first and passed on then. A target that takes nothing holds up the program as it
would without a relay; a target that is gone does not, and the recording goes on.
"""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import os
import select
import sys
import termios
import time

import msgspec

from expman.capture.console import ConsoleTap
from expman.capture.descriptors import CATCH_UP, END
from expman.errors import ExpmanError
from expman.launch.join import join
from expman.models import RunStatus
from expman.transport.encoding import CONSOLE
from expman.transport.producer import LaneProducer

__all__ = ["ConsoleRelay"]

PIECE_BYTES = 64 * 1024
LOOK_S = 0.5
"""Spacing of looks at a terminal's size."""
SETTLE_MS = 20
"""A pseudo-terminal hands over what was written a moment later."""
END_S = 2.0


class _Stream(msgspec.Struct):
    """One stream of the program.

    Attributes:
        name: "out" or "err".
        source: descriptor that the program's output comes from.
        target: descriptor that it goes to; -1 once that is gone.
        decoder: of its text.
    """

    name: str
    source: int
    target: int
    decoder: codecs.IncrementalDecoder
    size: bytes = b""

    def pass_on(self, data: bytes) -> None:
        """Writes to the target, however long that takes."""
        view = memoryview(data)
        while view and self.target >= 0:
            try:
                view = view[os.write(self.target, view) :]
            except BlockingIOError:  # the target belongs to others, too, who want it so
                ready = select.poll()  # not select(): the number may be 1024 or more
                ready.register(self.target, select.POLLOUT)
                ready.poll()
            except OSError:
                self.target = -1

    def follow_size(self) -> None:
        """Gives the program's terminal the size of the real one."""
        if self.target < 0 or not os.isatty(self.target):
            return
        with contextlib.suppress(OSError):
            size = fcntl.ioctl(self.target, termios.TIOCGWINSZ, bytes(8))
            if size != self.size:
                fcntl.ioctl(self.source, termios.TIOCSWINSZ, size)
                self.size = size


class ConsoleRelay:
    """Relays the streams of one program into one run.

    Args:
        address: of the run's engine.
        request: descriptor that CATCH_UP or END come from.
        answer: descriptor that gets the same once all that was printed before is recorded.
    """

    def __init__(self, address: str, request: int, answer: int) -> None:
        self._request = request
        self._program = os.getppid()
        self._answer = answer
        self._streams: dict[int, _Stream] = {}
        self._poller = select.poll()
        self._poller.register(request, select.POLLIN)
        self._lane = _join(address)
        self._tap = None if self._lane is None else ConsoleTap(self._lane.offer)

    def add(self, name: str, source: int, target: int) -> None:
        """Takes a stream."""
        os.set_blocking(source, False)
        decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._streams[source] = _Stream(name, source, target, decoder)
        self._poller.register(source, select.POLLIN)

    def run(self) -> None:
        """Relays until the streams have ended. At the run's end it stops recording before that."""
        while self._streams:
            for source, events in self._poller.poll(LOOK_S * 1000):
                if source == self._request:
                    self._hear(events)
                elif source in self._streams:
                    self._take(self._streams[source])
            for stream in self._streams.values():
                stream.follow_size()
            if os.getppid() != self._program:
                self._end()
        self._end()

    def _hear(self, events: int) -> None:
        """Does what the program asks for. One that has closed its descriptors goes on printing."""
        if events & select.POLLIN and 0 < (count := _waiting(self._request)) < len(END):
            os.read(self._request, count)
            self._take_all(END_S)
            with contextlib.suppress(OSError):
                os.write(self._answer, CATCH_UP)
        elif events & select.POLLIN or os.getppid() != self._program:
            self._end()
        else:
            self._poller.unregister(self._request)

    def _take(self, stream: _Stream) -> bool:
        """Takes one piece; False: there is none now."""
        try:
            data = os.read(stream.source, PIECE_BYTES)
        except BlockingIOError:
            return False
        except OSError:  # EIO: nobody has the terminal open any more
            data = b""
        if self._tap is not None:
            self._tap.add(stream.name, stream.decoder.decode(data, final=not data))
        stream.pass_on(data)
        if not data:
            self._poller.unregister(stream.source)
            del self._streams[stream.source]
        return bool(data)

    def _end(self) -> None:
        """Records what has been printed, and nothing from then on."""
        tap, lane = self._tap, self._lane
        if tap is not None and lane is not None:
            self._take_all(END_S)
            tap.stop(lane.publish)
            with contextlib.suppress(ExpmanError):
                lane.close(RunStatus.FINISHED, None, END_S)
            lane.let_go()
        self._tap = self._lane = None
        if self._answer >= 0:
            with contextlib.suppress(KeyError):  # the program has closed its end
                self._poller.unregister(self._request)
            with contextlib.suppress(OSError):
                os.write(self._answer, END)
            self._answer = -1

    def _take_all(self, limit_s: float) -> None:
        """Takes what is there. A child process that prints on and on is followed for a while."""
        deadline, taken = time.monotonic() + limit_s, True
        while taken and time.monotonic() < deadline:
            ready = [fd for fd, _ in self._poller.poll(SETTLE_MS) if fd in self._streams]
            taken = sum(self._take(self._streams[source]) for source in ready) > 0


def _waiting(fd: int) -> int:
    """The number of bytes that can be read."""
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)


def _join(address: str) -> LaneProducer | None:
    """A lane into the run, claimed already; None: the run takes no records."""
    try:
        _, lane, _ = join(address, as_relay=True)
        lane.publish(CONSOLE, "out", "", 0)  # claims it: so the run's end waits for this process
    except ExpmanError:
        return None
    return lane
