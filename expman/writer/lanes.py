"""The lanes of one run: the names of their producers, and the counts of lanes that were retired."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from expman.failpoints import hit
from expman.fixed_columns import values_of
from expman.transport.consumer import LaneConsumer
from expman.writer.progress import Progress

__all__ = ["LaneState", "RunLanes"]

MANY_SCHEMAS = 256


class LaneState(msgspec.Struct):
    """State that the files of a run keep for one of its lanes.

    Attributes:
        consumer: the lane's consuming end.
        producer: the name that its rows carry.
        seq_base: seq of the lane's row 0.
        fixed: the fixed columns that all its rows share.
        schemas: metric names by their number, as the lane has defined them.
        term: the term that was read last.
        last_step: the step of the latest row that has one.
        progress: how far it is, for each set of metrics.
        drops_reported: dropped rows that run.log has a line about.
        laneless_reported: the same for those that workers without a lane have dropped.
        has_failed: its producer has closed it as FAILED.
    """

    consumer: LaneConsumer
    producer: str
    seq_base: int
    fixed: dict[str, int | str]
    schemas: dict[int, tuple[str, ...]] = {}
    term: int = 0
    last_step: int | None = None
    progress: Progress = msgspec.field(default_factory=Progress)
    drops_reported: int = 0
    laneless_reported: int = 0
    has_failed: bool = False

    def begin_term(self, term: int) -> None:
        """Forgets many names at a term's begin: each term defines those that it uses anew.

        Few are kept: where the definition itself is damaged, an earlier one serves.
        """
        if term != self.term and len(self.schemas) > MANY_SCHEMAS:
            self.schemas = {}
        self.term = term

    @property
    def number(self) -> int:
        """Number of the lane."""
        return self.consumer.lane

    @property
    def is_owner(self) -> bool:
        """True if it is the lane of the run's owner."""
        return self.consumer.hello.role == "owner"


class RunLanes:
    """The lanes of one run, and the counts of those that were retired.

    Attributes:
        retired_rows: rows of workers that have gone.
        retired_drops: rows that they dropped.
    """

    def __init__(self) -> None:
        self.retired_rows = self.retired_drops = 0
        self._states: dict[int, LaneState] = {}

    def __iter__(self) -> Iterator[LaneState]:
        return iter(self._states.values())

    def __getitem__(self, number: int) -> LaneState:
        return self._states[number]

    def get(self, number: int) -> LaneState | None:
        """The lane of a number, or None."""
        return self._states.get(number)

    @property
    def owner(self) -> LaneState | None:
        """The owner's lane, or None."""
        return next((state for state in self if state.is_owner), None)

    def add(self, lane: LaneConsumer, next_seq: Callable[[str], int]) -> LaneState:
        """Takes a lane; gives its producer a name unless a predecessor has done so.

        Args:
            lane: the lane.
            next_seq: gives for a producer's name the first seq that is in no file.
        """
        self._adopt(lane, next_seq)
        control = lane.control
        name = lane.hello.producer_name(control.name_number)
        state = LaneState(lane, name, control.seq_base, values_of(lane.hello))
        self._states[lane.lane] = state
        if state.is_owner:
            self.retired_rows, self.retired_drops = control.retired_rows, control.retired_drops
        return state

    def _adopt(self, lane: LaneConsumer, next_seq: Callable[[str], int]) -> None:
        """Gives the lane's producer a name that no other living one has, once and for all.

        A producer whose name was used before, the DataLoader worker 0 of the next epoch, goes on
        with the next seq. The words are stored before any row of the lane is in a file, and
        `adopted` after them, so that every later writer reads the same ones.
        """
        if lane.control.adopted:
            return
        taken = {state.producer for state in self}
        number = 0
        while lane.hello.producer_name(number) in taken:
            number += 1
        lane.control.name_number = number
        lane.control.seq_base = next_seq(lane.hello.producer_name(number))
        hit("adopt-before-mark")
        lane.control.adopted = True

    def retire(self, state: LaneState) -> None:
        """Forgets a worker's lane whose records are written; its counts are kept.

        The new totals go into the worker's lane first, then the word that makes them count: a
        successor that finds the lane once more takes them over, and adds nothing to them.
        """
        lane = state.consumer
        lane.control.retired_rows = self.retired_rows + lane.logged_rows
        lane.control.retired_drops = self.retired_drops + lane.dropped_rows
        lane.control.run_ended = True
        hit("retire-before-count")
        self.count_retired(lane)
        del self._states[lane.lane]

    def count_retired(self, lane: LaneConsumer) -> None:
        """Takes over the totals that a retired lane has."""
        self.retired_rows = max(self.retired_rows, lane.control.retired_rows)
        self.retired_drops = max(self.retired_drops, lane.control.retired_drops)
        owner = self.owner
        if owner is not None:
            owner.consumer.control.retired_rows = self.retired_rows
            owner.consumer.control.retired_drops = self.retired_drops
