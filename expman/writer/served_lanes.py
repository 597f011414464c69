"""The lanes of one run that this writer serves."""

from __future__ import annotations

from collections.abc import Iterator

from expman.transport.consumer import LaneConsumer
from expman.writer.files import RunFiles
from expman.writer.polling import drain
from expman.writer.post_mortem import OwnerPostMortem
from expman.writer.producer_ends import ProducerEnds

__all__ = ["ServedLanes"]


class ServedLanes:
    """The lanes of one run: those that its files know, and those still to be added.

    Attributes:
        new: found, and not known to the files.
        known: known to the files.
        owner: the owner's lane, which may be new.
        post_mortem: finds out why the owner ended.
        restarts: writers that have served the owner's lane before this one.
    """

    def __init__(self) -> None:
        self.new: list[LaneConsumer] = []
        self.known: list[LaneConsumer] = []
        self.owner: LaneConsumer | None = None
        self.post_mortem: OwnerPostMortem | None = None
        self.restarts = 0
        self._ends = ProducerEnds()
        self._has_relay_ended = False

    def __iter__(self) -> Iterator[LaneConsumer]:
        return iter([*self.known, *self.new])

    def add(self, lane: LaneConsumer) -> None:
        """Takes a lane that was found."""
        self.new.append(lane)
        end = self._ends.add(lane)
        if lane.hello.role == "owner":
            self.owner = lane
            self.restarts = lane.count_writer() - 1
            self.post_mortem = OwnerPostMortem(lane.hello, end)

    @property
    def awaits_relay(self) -> bool:
        """True if the program's last words are still on their way."""
        relays = [lane for lane in self if lane.hello.role == "relay"]
        self._has_relay_ended |= any(lane.sealed for lane in relays)
        owner = self.owner
        has_one = owner is not None and owner.hello.redirect_console == "fd"
        return has_one and not self._has_relay_ended

    @property
    def has_producers(self) -> bool:
        """True if a process lives that logs into the run."""
        return any(lane.producer_alive() for lane in self)

    def show_new(self, files: RunFiles) -> bool:
        """Makes the files know the new lanes; whether they know more of them now.

        Raises:
            StorageError: call it again.
        """
        count = len(self.new)
        # Those that a predecessor named come first: no other may take their names.
        self.new.sort(key=lambda lane: not lane.control.adopted)
        while self.new:
            if not self.retire_workers(files):
                break  # their names are free only then
            lane = self.new[0]
            files.add_lane(lane)
            del self.new[0]
            if lane.control.run_ended:
                lane.remove()
            else:
                self.known.append(lane)
        return len(self.new) < count

    def look(self) -> None:
        """Notes what a post-mortem will need; call it again and again."""
        if self.post_mortem is not None:
            self.post_mortem.look()

    def retire_workers(self, files: RunFiles) -> bool:
        """Drains and removes the lanes of workers that are gone.

        Returns:
            False: not all of their media are in files yet, so that some of them stay for now.

        Raises:
            StorageError: call it again.
        """
        all_gone = True
        for lane in [lane for lane in self.known if lane is not self.owner]:
            if lane.at_end() or not lane.producer_alive():
                self._has_relay_ended |= lane.hello.role == "relay" and lane.sealed
                drain(files, lane)
                self._ends.report(files, lane, only_known=self._is_ending)
                files.commit()
                if files.copier.first_term(lane.lane) is not None:
                    all_gone = False
                    continue
                files.retire(lane)
                self.known.remove(lane)
                lane.remove()
        return all_gone

    @property
    def _is_ending(self) -> bool:
        owner = self.owner
        return owner is None or owner.sealed or not owner.producer_alive()

    def report_ends(self, files: RunFiles) -> None:
        """Reports workers that are gone as the run ends, as far as it is known how they ended."""
        for lane in self.known:
            if lane is not self.owner and (lane.sealed or not lane.producer_alive()):
                self._ends.report(files, lane, only_known=True)

    def let_go(self) -> list[LaneConsumer]:
        """Watches no process any more; returns all lanes."""
        self._ends.close()
        return list(self)

    def remove_empty(self) -> bool:
        """Removes new lanes whose producers are gone, if all of them are; none has a record."""
        if not all(lane.sealed or not lane.producer_alive() for lane in self.new):
            return False
        for lane in self.new:
            lane.remove()
        return True
