"""Base class of samplers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from expman.transport.hello import Hello
from expman.writer.samplers.process_tree import find_process

__all__ = ["Sampler"]


class Sampler:
    """Observes something about a run that no producer logs. Each run has an object of its own.

    What it finds are records, which `sinks.table` gives to sinks like those of any producer: a
    `records.Log` becomes a line of run.log; content of a new kind has a type and a sink of its own.

    The object is made in the thread that takes its first sample.

    Attributes:
        name: for messages.
        spacing_s: seconds between two samples; the first one is taken when the run begins. See
            `spacing_for`.
        awaited_s: the end of a run waits for the first sample until so long after its begin.
        takes_last: takes one more sample when the owner closes the run, see `awaited_s`.
        deadline_s: after this many seconds a sample is reported as overdue. It goes on in its
            thread, and holds up no lane and no other sampler.
        needs_trainer: it observes nothing if the trainer was gone when the run was opened.
    """

    name: ClassVar[str]
    spacing_s: ClassVar[float]
    awaited_s: ClassVar[float] = 0.0
    takes_last: ClassVar[bool] = False
    deadline_s: ClassVar[float] = 10.0
    needs_trainer: ClassVar[bool] = True

    def __init__(self, hello: Hello) -> None:
        self.hello = hello

    @classmethod
    def spacing_for(cls, hello: Hello) -> float:
        """Seconds between two samples of this run; 0: none is taken, infinity: only the first."""
        return cls.spacing_s

    def find_trainer(self) -> int:
        """The pid of the run's owner as it is seen from here; 0 if it is gone or out of sight."""
        hello = self.hello
        ticks = 0 if hello.program is None else hello.program.began_ticks
        return find_process(hello.pid, ticks, hello.started_at_ns)

    def sample(self) -> Iterable[Any]:
        """Takes a sample, in a thread of its own. An exception costs this sample only."""
        raise NotImplementedError

    def stop(self) -> None:
        """Ends what the sampler has started: the run has ended. A sample may be under way."""
