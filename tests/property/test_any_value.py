"""Whatever is passed to a call: it raises, or the value is in the files, and nobody else suffers.

Any Python objects go through a standing writer, with a second run beside the one that gets them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from anything import (
    Box,
    FloatArray,
    FloatAttrs,
    FloatData,
    FloatStruct,
    metrics,
    objects,
    texts,
    trees,
)
from conftest import Program
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from run_files import log_lines, params, rows, run_yaml

from expman import ConfigError, ExperimentConfig, LoggingEngine, Run

EXAMPLES = 20
SOAK_EXAMPLES = 3000
DEADLINE_S = 120.0
REFUSALS = (TypeError, ValueError)  # ConfigError is a ValueError
StartWriter = Callable[..., Program]


class Beside:
    """Two runs of one standing writer: `odd` gets any values, `plain` must not notice."""

    def __init__(self, writer: Program, base: Path) -> None:
        self.writer = writer
        self.odd, self.plain = (
            LoggingEngine(ExperimentConfig("exp", str(base), run_name=name, writer=writer.address))
            for name in ("odd", "plain")
        )
        self.steps = 0

    def log_plainly(self) -> None:
        """One row into the other run."""
        self.plain.log_vector({"n": self.steps}, self.steps)
        self.steps += 1

    def close(self) -> dict[str, Any]:
        """Ends both; checks the other run, and that the writer lives. The odd run's run.yaml."""
        self.odd.close(timeout_s=DEADLINE_S)
        self.plain.close(timeout_s=DEADLINE_S)
        assert self.writer.running()
        expected = [(step, {"n": step}) for step in range(self.steps)]
        assert expected == (rows(self.plain.run_dir) if self.steps else [])
        for engine in (self.plain, self.odd):
            found = run_yaml(engine.run_dir)
            assert ("FINISHED", 0, 0) == (
                found["status"],
                found["rows_missing"],
                found["writer_restarts"],
            )
        return found


@pytest.fixture
def beside(shared_writer: StartWriter, run_base: Path) -> Iterator[Beside]:
    runs = Beside(shared_writer(), run_base)
    try:
        yield runs
    finally:
        runs.odd.close(timeout_s=DEADLINE_S)
        runs.plain.close(timeout_s=DEADLINE_S)


def for_any(*arguments: st.SearchStrategy[Any], examples: int) -> Any:
    """Runs the function with examples of these arguments."""

    def run(function: Callable[..., None]) -> None:
        @settings(
            max_examples=examples,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.tuples(*arguments))
        def with_values(given_: tuple[Any, ...]) -> None:
            function(*(one.value if isinstance(one, Box) else one for one in given_))

        with_values()

    return run


def many(test: Any) -> Any:
    """Few examples by default, many in a soak."""
    return pytest.mark.parametrize(
        "examples",
        [EXAMPLES, pytest.param(SOAK_EXAMPLES, marks=[pytest.mark.soak, pytest.mark.timeout(900)])],
    )(test)


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types; NaN is NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) or (isinstance(one, float) and math.isnan(one) and math.isnan(other))


@many
def test_params(beside: Beside, examples: int) -> None:
    """What is accepted, YAML reads back as it is: PyYAML, our reader, and the next merge."""
    from expman.transport.params import plain_params

    accepted: dict[Any, Any] = {}

    @for_any(trees, st.booleans(), examples=examples)
    def log(tree: Any, wrapped: bool) -> None:
        given_ = {f"p{len(accepted)}": tree} if wrapped else tree
        try:
            beside.odd.log_params(given_)
        except REFUSALS:
            return
        finally:
            beside.log_plainly()
        accepted.update(plain_params(given_)[0])

    beside.close()
    if accepted:
        assert same(accepted, params(beside.odd.run_dir))
        assert same(accepted, Run(beside.odd.run_dir).config)


@many
def test_vectors(beside: Beside, examples: int) -> None:
    """Each accepted call is one row, with its step and all its values."""
    from expman.transport.values import plain_row, plain_step

    accepted: list[tuple[int | None, dict[str, Any] | None]] = []

    @for_any(
        metrics | trees,
        st.none() | st.integers(0, 9) | objects,
        examples=examples,
    )
    def log(values: Any, step: Any) -> None:
        for _ in range(2):  # the second time on the fast path, if any
            try:
                beside.odd.log_vector(values, step)
            except REFUSALS:
                continue
            finally:
                beside.log_plainly()
            try:
                expected = plain_row(values)
            except TypeError:  # a FloatData on the fast path: the next test has it
                expected = None
            accepted.append((plain_step(step), expected))
        beside.odd.log_vector({"a": 0.5, "b": 0.5}, 1)  # opens the fast path for the next one
        accepted.append((1, {"a": 0.5, "b": 0.5}))

    beside.close()
    found = rows(beside.odd.run_dir)
    assert [step for step, _ in accepted] == [step for step, _ in found]
    for (_, expected), (_, cells) in zip(accepted, found, strict=True):
        if expected is None:
            continue
        assert len(expected) == len(cells)
        texts_ = {value for value in expected.values() if isinstance(value, str)}
        assert texts_ == {value for value in cells.values() if isinstance(value, str)}


@pytest.mark.parametrize("kind", [FloatData, FloatAttrs, FloatStruct, FloatArray])
def test_objects_that_msgspec_knows_under_names_of_numbers(beside: Beside, kind: Any) -> None:
    """The hot path's check takes what has a `__float__`: the row is kept, its fields as text."""
    for step in range(3):
        beside.odd.log_vector({"a": 0.5, "b": 1.5}, step)
    beside.log_plainly()
    beside.odd.log_vector({"a": kind(7), "b": 2.5}, 3)
    beside.odd.log_vector({"a": 0.5, "b": 1.5}, 4)
    beside.close()
    fields = "[7]" if kind is FloatArray else '{"x":7}'
    found = rows(beside.odd.run_dir)
    assert (3, {"a__text": fields, "b": 2.5}) == found[3]
    assert [(step, {"a": 0.5, "b": 1.5}) for step in (0, 1, 2, 4)] == [*found[:3], found[4]]


@many
def test_scalars(beside: Beside, examples: int) -> None:
    """What is accepted is in run.yaml, the latest value of each."""
    from expman.transport.values import check_key, plain_metric

    accepted: dict[str, Any] = {}

    @for_any(texts | objects, objects, examples=examples)
    def log(key: Any, value: Any) -> None:
        try:
            beside.odd.log_scalar(key, value)
        except REFUSALS:
            return
        finally:
            beside.log_plainly()
        name = check_key(key)
        accepted[name] = plain_metric(name, value)

    found = beside.close()["scalars"]
    assert accepted.keys() == found.keys()
    assert all(same(accepted[name], found[name]) for name in accepted)


@many
def test_messages_and_artifacts(beside: Beside, examples: int, tmp_path: Path) -> None:
    """A message is a line of its own; an artifact is a file, under its name."""
    source = tmp_path / "source"
    source.write_text("content")
    said, stored = 0, set()

    @for_any(objects, st.just("INFO") | objects, objects, texts | objects, examples=examples)
    def log(message: Any, level: Any, path: Any, name: Any) -> None:
        nonlocal said
        try:
            beside.odd.log_message(level, message)
            said += 1
        except REFUSALS:
            pass
        beside.log_plainly()
        with pytest.raises((*REFUSALS, OSError)):
            beside.odd.save_artifact(path, name)
        given_ = f"{len(stored)}/{name}" if isinstance(name, str) else name
        try:
            beside.odd.save_artifact(source, given_)
        except REFUSALS:
            return
        stored.add(given_)

    beside.close()
    lines = log_lines(beside.odd.run_dir) if said else []
    assert said == len([line for line in lines if not line.startswith(" ")])
    files = [path for path in Path(beside.odd.run_dir, "artifacts").rglob("*") if path.is_file()]
    assert len(stored) == len(files)
    assert {"content"} >= {path.read_text() for path in files}


@many
def test_tags_and_description(beside: Beside, run_base: Path, examples: int) -> None:
    """A setting is refused when the configuration is made, or stands in run.yaml."""

    @for_any(
        texts | st.lists(texts, max_size=3) | st.sets(texts, max_size=3) | objects,
        st.none() | texts | objects,
        texts | objects,
        examples=examples // 2,
    )
    def run(tags: Any, description: Any, group: Any) -> None:
        beside.log_plainly()
        try:
            config = ExperimentConfig(
                "exp",
                str(run_base),
                tags=tags,
                description=description,
                group=group,
                writer=beside.writer.address,
            )
        except ConfigError:
            return
        with LoggingEngine(config) as engine:
            pass
        found = run_yaml(engine.run_dir)
        assert "FINISHED" == found["status"]
        assert (list(config.tags) or None, config.description) == (
            found["tags"],
            found["description"],
        )

    beside.close()
