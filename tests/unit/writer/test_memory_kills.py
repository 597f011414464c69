"""Kills for lack of memory: counted from now on, and reported once each."""

from __future__ import annotations

from pathlib import Path

import pytest
from lanes import make_hello

from expman.models import LogLevel
from expman.writer import memory_kills
from expman.writer.memory_kills import RECENT_S, MemoryKills
from expman.writer.post_mortem import OwnerPostMortem
from expman.writer.samplers.memory_kills import MemoryKillSampler


@pytest.fixture
def events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The counters of a cgroup in which one process was killed before."""
    path = tmp_path / "memory.events"
    path.write_text("low 0\noom 2\noom_kill 1\n")
    monkeypatch.setattr(memory_kills, "_memory_events", lambda pid: str(path))
    return path


def test_kills_are_counted_from_now_on(events: Path) -> None:
    """Earlier ones do not count; a file that is gone counts none."""
    kills = MemoryKills(1)
    assert 0 == kills.count()
    events.write_text("oom_kill 4\n")
    assert 3 == kills.count()
    events.unlink()
    assert 0 == kills.count()


def test_a_sample_reports_new_kills(events: Path) -> None:
    """A line for those since the last sample, none where there were none."""
    sampler = MemoryKillSampler(make_hello())
    assert [] == list(sampler.sample())
    events.write_text("oom_kill 3\n")
    (line,) = sampler.sample()
    assert LogLevel.WARN is line.level
    assert "killed 2 processes in the cgroup of the trainer: out of memory" in line.message
    assert [] == list(sampler.sample())
    events.write_text("oom_kill 4\n")
    assert ["the kernel killed a process in the cgroup of the trainer: out of memory"] == [
        line.message for line in sampler.sample()
    ]


def test_the_post_mortem_names_a_kill(events: Path) -> None:
    """The reason of a crash says that the cgroup ran out of memory, only if it did."""
    post_mortem = OwnerPostMortem(make_hello())
    assert "out of memory" not in post_mortem.why_it_ended()
    events.write_text("oom_kill 2\n")
    assert "its cgroup ran out of memory" in post_mortem.why_it_ended()


def test_a_kill_of_long_ago_explains_nothing(events: Path) -> None:
    """Another process may have been killed hours before; large ones take a while to end."""
    now = [0.0]
    kills = MemoryKills(1, clock=lambda: now[0])
    assert not kills.are_recent
    events.write_text("oom_kill 2\n")
    now[0] = 10.0
    kills.look()
    now[0] = 10.0 + RECENT_S
    assert kills.are_recent
    now[0] += 1.0
    assert not kills.are_recent
    events.write_text("oom_kill 3\n")
    assert kills.are_recent


def test_the_counter_is_not_read_again_and_again(events: Path) -> None:
    """Once in a second is enough."""
    now = [0.0]
    kills = MemoryKills(1, clock=lambda: now[0])
    kills.look()
    events.write_text("oom_kill 2\n")
    now[0] = 0.5
    kills.look()
    now[0] = 500.0
    events.unlink()
    assert not kills.are_recent


def test_a_sigkill_without_a_kill_for_lack_of_memory(
    events: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason says that, where the kernel counts such kills."""

    def reason() -> str:
        post_mortem = OwnerPostMortem(make_hello())
        monkeypatch.setattr(post_mortem, "ask_parent", lambda pid: -9)
        return post_mortem.why_it_ended()

    assert reason().endswith(
        "killed by SIGKILL; not for lack of memory, by the counter of its cgroup"
    )
    events.unlink()
    assert reason().endswith("killed by SIGKILL")
