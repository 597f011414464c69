"""VectorStore against a plain model: whatever is logged, flushed, consolidated and resumed."""

from __future__ import annotations

import math
from array import array
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from unit.storage.storage_model import metric_of, same, tables

from expman.metadata import RunMetadata
from expman.storage import pending
from expman.storage.columns import FIXED, columns_metadata
from expman.storage.vectors import RowBlock, VectorStore

MAX_BATCH_ROWS = pending.MAX_BATCH_ROWS
Value = bool | int | float | str | None
Logged = tuple[str, int, int | None, dict[str, Value]]

# Few keys, so that kinds meet in one metric; names of side columns among them.
keys = st.sampled_from(["a", "b", "a__text", "a__num", "step2", "x/y", "größe"])
producers = st.sampled_from(["main", "worker-0"])
numbers = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-3, 3),
    st.integers(2**63, 2**70),
    st.floats(),
)
values = st.one_of(
    st.none(), numbers, st.sampled_from(["", "no", "1", "ü"]), st.text(max_size=3)
).filter(lambda value: not isinstance(value, str) or value.isprintable())
# Metrics are mostly of one kind: a column of each, and sometimes a mixed one.
columns_of = st.sampled_from(
    [st.booleans(), st.integers(-5, 2**60), st.floats(), st.text("ab", max_size=2), values]
)
steps = st.none() | st.integers(-(2**63), 2**63 - 1)


@st.composite
def rows_of_one_schema(draw: st.DrawFn) -> tuple[tuple[str, ...], list[list[Value]], list[Any]]:
    names = tuple(draw(st.lists(keys, unique=True, max_size=4)))
    count = draw(st.integers(1, 5))
    columns = []
    for _ in names:
        cells = draw(columns_of)
        columns.append(draw(st.lists(cells, min_size=count, max_size=count)))
    return names, columns, draw(st.lists(steps, min_size=count, max_size=count))


def pack(values: list[Any]) -> Any:
    """Numbers as the writer has them where all are of one type."""
    types = set(map(type, values))
    if types == {float}:
        return memoryview(array("d", values))
    if types == {int} and all(-(2**63) <= value < 2**63 for value in values):
        return memoryview(array("q", values))
    return values


class Storage(RuleBasedStateMachine):
    """Drives one run's store; `logged` is all that it was given, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory()
        self.path = Path(self.directory.name)
        self.logged: list[Logged] = []
        self.written = 0
        self.next_seq = {"main": 0, "worker-0": 0}
        self.rewrite: Any = None

    def teardown(self) -> None:
        pending.MAX_BATCH_ROWS = MAX_BATCH_ROWS
        self.store.close()
        self.store = VectorStore(str(self.path))
        for row in self.logged[self.written :]:
            self._append_one(row)
        self.written = len(self.logged)
        self.store.finish()
        self.check()
        assert [] == list(self.path.glob("vectors-*.arrow"))
        self.directory.cleanup()

    @initialize(batch_rows=st.sampled_from([1, 6, 2**16]))
    def open(self, batch_rows: int) -> None:
        """Small batches divide what is written together."""
        pending.MAX_BATCH_ROWS = batch_rows
        self.store = VectorStore(str(self.path))

    @rule(rows=rows_of_one_schema(), producer=producers, packs=st.booleans())
    def append(self, rows: tuple[Any, Any, Any], producer: str, packs: bool) -> None:
        names, columns, row_steps = rows
        first = self.next_seq[producer]
        count = len(row_steps)
        times = [1_000 * (first + index) for index in range(count)]
        if packs:
            packed = [pack(column) for column in columns]
            block = RowBlock(producer, first, pack(row_steps), pack(times), names, packed)
        else:
            block = RowBlock(producer, first, row_steps, times, names, columns)
        self.store.append(block)
        self.next_seq[producer] += count
        for index in range(count):
            row = {name: column[index] for name, column in zip(names, columns, strict=True)}
            self.logged.append((producer, first + index, row_steps[index], row))

    def _append_one(self, row: Logged) -> None:
        producer, seq, step, cells = row
        columns = [[cell] for cell in cells.values()]
        self.store.append(RowBlock(producer, seq, [step], [1_000 * seq], tuple(cells), columns))

    @precondition(lambda self: self.logged)
    @rule(data=st.data())
    def append_again(self, data: st.DataObject) -> None:
        """Rows that were appended before: a successor that replays too much."""
        self._append_one(data.draw(st.sampled_from(self.logged)))

    @rule(sync=st.booleans())
    def flush(self, sync: bool) -> None:
        self.store.flush(sync=sync)
        self.written = len(self.logged)

    @rule()
    def consolidate(self) -> None:
        """Brings the tail into vectors.parquet, unless that is going on."""
        for _ in self.store.consolidate():
            pass

    @precondition(lambda self: self.rewrite is None)
    @rule()
    def begin_consolidation(self) -> None:
        """It may be over at once: which rules come next does not depend on that."""
        self.rewrite = self.store.consolidate()
        next(self.rewrite, None)

    @precondition(lambda self: self.rewrite is not None)
    @rule(finish=st.booleans())
    def end_consolidation(self, finish: bool) -> None:
        if finish:
            for _ in self.rewrite:
                pass
        else:
            self.rewrite.close()
        self.rewrite = None

    @rule()
    def finish(self) -> None:
        self.rewrite = None
        self.store.finish()
        self.written = len(self.logged)
        assert [] == list(self.path.glob("vectors-*.arrow"))

    @rule()
    def die_and_resume(self) -> None:
        """A writer that is gone takes what was only in its memory with it; the lane has it."""
        self.rewrite = None
        self.store.close()
        self.store = VectorStore(str(self.path))
        written = self.logged[: self.written]
        for producer in self.next_seq:
            reached = [seq + 1 for name, seq, _, _ in written if name == producer]
            assert max(reached, default=0) == self.store.next_seq(producer)
        for row in self.logged:
            self._append_one(row)

    @invariant()
    def counts_agree(self) -> None:
        if hasattr(self, "store"):
            assert self.written == self.store.rows_written
            assert len(self.logged) - self.written == self.store.pending_rows

    @invariant()
    def check(self) -> None:
        """Every written row is in the files once, in order, with every value."""
        metric = metric_of(self.path) if (self.path / "vectors.parquet").exists() else {}
        found = []
        for table in tables(self.path):
            renamed = {name: metric.get(name, name) for name in table.schema.names}
            renamed |= columns_metadata(table.schema.metadata)
            for row in table.to_pylist():
                cells: dict[str, Any] = {}
                for name, cell in row.items():
                    if cell is not None and name not in FIXED:
                        assert renamed[name] not in cells, "a row has one value of a metric"
                        cells[renamed[name]] = cell
                found.append((row["_producer"], row["_seq"], row["step"], cells))
        expected = self.logged[: self.written]
        assert [row[:3] for row in expected] == [row[:3] for row in found]
        for (*_, cells), (*_, there) in zip(expected, found, strict=True):
            logged = {key: value for key, value in cells.items() if value is not None}
            assert logged.keys() == there.keys()
            for key, value in logged.items():
                assert stands_for(there[key], value), (key, value, there[key])
        if hasattr(self, "store"):
            self.check_best([(step, cells) for _, _, step, cells in found])

    def check_best(self, rows: list[tuple[int | None, dict[str, Any]]]) -> None:
        """The best values are those that a loop over all rows of the files finds."""
        meta = RunMetadata(name="r", experiment="e")
        self.store.summarize(meta)
        cells: dict[str, list[tuple[float, int | None]]] = {}
        for step, row in rows:
            for key, value in row.items():
                if not isinstance(value, str):
                    cells.setdefault(key, []).append((float(value), step))
        assert cells.keys() == meta.best.keys()
        for key, several in cells.items():
            best = meta.best[key]
            numbers = [value for value, _ in several if not math.isnan(value)]
            ends = (min(numbers), max(numbers)) if numbers else (None, None)
            found = tuple(None if end is None else float(end) for end in (best.min, best.max))
            assert ends == found, key
            for value, step in ((best.min, best.min_step), (best.max, best.max_step)):
                assert value is None or (float(value), step) in several, key
            last, step = several[-1]
            assert best.last is not None
            assert same(last, float(best.last)), key
            assert step == best.last_step, key


def stands_for(found: Any, logged: Value) -> bool:
    """Whether a cell is what was logged, or the number that it became by widening."""
    if isinstance(logged, str) or isinstance(found, str):
        return same(found, logged)
    assert logged is not None
    if type(found) is type(logged):
        return same(found, logged)
    if isinstance(found, float):
        return math.isinf(found) or found == float(logged)
    return type(found) is int and isinstance(logged, bool) and found == int(logged)


TestStorage = Storage.TestCase
TestStorage.settings = settings(max_examples=40, stateful_step_count=25)
