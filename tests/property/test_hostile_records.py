"""Hostile records in a lane: each costs itself only, and the run beside notices nothing."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from lanes import DEADLINE_S, make_hello
from run_files import run_yaml, table

from expman.models import RunStatus
from expman.transport import encoding, places, segment
from expman.transport.address import new_address
from expman.transport.producer import LaneProducer
from expman.writer.server import Server

Ext = msgspec.msgpack.Ext
numbers = itertools.count()

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary(max_size=20)
    | st.builds(Ext, st.integers(0, 5), st.binary(max_size=20))
    | st.builds(lambda n: Ext(encoding.BIG_INT, hex(n).encode()), st.integers(2**64, 2**80)),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text("abc"), below, max_size=3),
    max_leaves=8,
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = texts | st.sampled_from(["..", "a/../b", "/etc/x", "\0", "", ".", "x" * 300, "m", "m/x"])
schemas = st.integers(1000, 1003)  # not those of the good rows
records = st.one_of(
    st.tuples(st.integers(0, 8), anything, anything, anything),
    st.tuples(st.integers(0, 8), anything),
    st.tuples(st.just(encoding.PARAMS), st.dictionaries(texts, anything, max_size=3)),
    st.tuples(st.just(encoding.SCALAR), texts, st.integers(-(2**63), 2**64 - 1) | texts),
    st.tuples(st.just(encoding.LOG), st.sampled_from(["INFO", "ERROR", "?"]), texts),
    st.tuples(st.just(encoding.ARTIFACT), names, st.none() | names, names),
    st.tuples(st.just(encoding.SCHEMA), schemas, st.lists(texts, max_size=3)),
    st.tuples(
        st.just(encoding.VECTOR), anything, schemas, st.lists(st.floats() | texts | st.booleans())
    ),
)
DEEP: Any = 1
for _ in range(300):
    DEEP = [DEEP]


def open_lane(address: segment.Address, base: Path, run_name: str) -> LaneProducer:
    hello = make_hello(base_dir=str(base), experiment="e", run_name=run_name)
    (base / "e" / run_name).mkdir(parents=True)
    return LaneProducer(address, hello)


@contextmanager
def serving() -> Iterator[Server]:
    """A server; what is left of its address is removed at the end."""
    address, base = new_address(1 << 16)
    base.close()
    try:
        yield Server(address)
    finally:
        for name in places.list_names(address.place):
            if name.startswith(address.segment()):
                segment.remove(address.place, name)


def absent(base: Path, record: tuple[Any, ...]) -> tuple[Any, ...]:
    """An artifact's source is below a directory that is not there: nothing else is read."""
    if record[0] == encoding.ARTIFACT and isinstance(record[1], str):
        return record[0], f"{base}/absent/{record[1]}", *record[2:]
    return record


@pytest.fixture(autouse=True)
def machine_stays_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda fd: None)


options = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}
hostile_lists = st.lists(records, min_size=1, max_size=8)


@settings(max_examples=10, **options)
@given(hostile=hostile_lists)
@example([(encoding.PARAMS, {"big": Ext(encoding.BIG_INT, hex(7**6000).encode())})])
@example([(encoding.PARAMS, {"since": Ext(encoding.DATETIME, b"1900-01-01T00:00:00+00:09:21")})])
@example([(encoding.PARAMS, {"deep": DEEP})])
@example([(encoding.ARTIFACT, "x", "..", "a"), (encoding.ARTIFACT, "x", "../..", "b")])
@example([(encoding.ARTIFACT, "a\0b", None, "c"), (encoding.ARTIFACT, "x", None, "n" * 300)])
@example([(encoding.SCHEMA, 1000, ["a", "a"]), (encoding.VECTOR, 2**63 - 1, 1000, (1.0, "x"))])
@example([(encoding.SCALAR, "s", 2**64 - 1), (encoding.SCALAR, "", "\x85\ufeff")])
def test_a_hostile_record_costs_itself(tmp_path: Path, hostile: list[tuple[Any, ...]]) -> None:
    """Rows and parameters around it are there, both runs end, and nothing is written elsewhere."""
    play(tmp_path, hostile)


@pytest.mark.soak
@pytest.mark.timeout(900)
@settings(max_examples=1000, **options)
@given(hostile=hostile_lists)
def test_hostile_records_at_length(tmp_path: Path, hostile: list[tuple[Any, ...]]) -> None:
    """The same, a thousand times."""
    play(tmp_path, hostile)


def play(tmp_path: Path, hostile: list[tuple[Any, ...]]) -> None:
    base = tmp_path / str(next(numbers))
    with serving() as server:
        lanes = [open_lane(server.address, base, name) for name in ("hostile", "other")]
        for lane in lanes:
            lane.log_vector({"good": 0}, 0)
            lane.log_params({"first": 1})
        for record in hostile:
            lanes[0].publish(*absent(base, record))
        for lane in lanes:
            lane.log_vector({"good": 1}, 1)
            lane.log_params({"last": 2})
            lane.close(RunStatus.FINISHED, None, 1.0)
        deadline = time.monotonic() + DEADLINE_S
        while not server.idle or not server.finished:
            server.step()
            assert time.monotonic() < deadline, server.write_errors
    for name in ("hostile", "other"):
        run_dir = base / "e" / name
        assert "FINISHED" == run_yaml(run_dir)["status"]
        good = [n for n in table(run_dir)["good"].to_pylist() if n is not None]
        assert [0, 1] == [n for n in good if n in (0, 1)]
        text = (run_dir / "config.yaml").read_text()
        assert "first: 1\n" in text
        assert "last: 2\n" in text
    assert ["e"] == [path.name for path in base.iterdir()]
    assert {"experiment.yaml", "hostile", "other"} == {p.name for p in (base / "e").iterdir()}
