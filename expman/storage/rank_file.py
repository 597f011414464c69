"""Makes ranks.parquet, the roll-up over ranks of the rows in vectors.parquet.

It is made from the old one and the rows that vectors.parquet has since then; those are at its end,
for a rewrite keeps the order. What is rolled up for good is taken over. A step is rolled up for
good once all ranks have logged a later one. The last ones stay open, and their rows in memory.

Whatever does not fit, because a metric is new or the file was begun by another writer, is made from
all rows. So nothing has to be remembered across a kill.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from expman.failpoints import hit
from expman.storage.arrowfile import open_arrow
from expman.storage.columns import FIXED, columns_metadata
from expman.storage.making import FileInMaking
from expman.storage.paths import RANKS_PARQUET, VECTORS_PARQUET

__all__ = ["ATTEMPT_KEY", "RANKS_KEY", "ROLLED_ROWS_KEY", "RankFile", "RankFileUpdate"]

RANKS_KEY = "expman.ranks"
ROLLED_ROWS_KEY = "expman.rows"
ATTEMPT_KEY = "expman.attempt"
MOST_OPEN_CELLS = 1 << 20
LEAST_OPEN_ROWS = 4096
GROUP_ROWS = 64 * 1024


class _State(msgspec.Struct):
    """How far a ranks.parquet goes.

    Attributes:
        columns: metric to column of vectors.parquet, and its type.
        rows: so many rows of vectors.parquet are rolled up.
        last: producer and seq of the last one of them.
        closed: so many rows of ranks.parquet are there for good.
        open: rows of the steps that are not.
        ranks: last step, time of the last row, and rows of each rank.
        whole_at: of each rank the last step that all ranks have logged, and when.
    """

    columns: dict[str, tuple[str, str]]
    rows: int = 0
    last: tuple[str, int] | None = None
    closed: int = 0
    open: pa.Table | None = None
    ranks: dict[int, tuple[int, int, int]] = {}
    whole_at: dict[int, tuple[int, int]] = {}


class RankFileUpdate(FileInMaking):
    """One update; there is no file if it has no two ranks.

    Attributes:
        is_needed: there are rows that the old file does not have.
        state: how far it goes.
        cost_s: processor time that it took.
    """

    def __init__(self, run_dir: str, attempt: int, state: _State | None) -> None:
        super().__init__(run_dir, "expman-ranks")
        self.is_needed = True
        self.state = state
        self.cost_s = 0.0
        self._attempt = attempt

    def _make(self) -> None:
        try:
            with open_arrow(os.path.join(self._run_dir, VECTORS_PARQUET)) as source:
                self._update(pq.ParquetFile(source, pre_buffer=False))
        finally:
            self.cost_s = time.thread_time()

    def _update(self, vectors: pq.ParquetFile) -> None:
        columns = _columns(vectors.schema_arrow)
        if columns is None:
            return
        state = self._continued(vectors, columns) or _State(columns)
        self.is_needed = state.rows < vectors.metadata.num_rows or state is not self.state
        if not self.is_needed:
            return
        state = msgspec.structs.replace(
            state, ranks=dict(state.ranks), whole_at=dict(state.whole_at)
        )
        self._write_temp(lambda temp: self._write(temp, state, vectors))
        if len(state.ranks) < 2:
            self.discard()
        self.state = state

    def _write(self, temp: str, state: _State, vectors: pq.ParquetFile) -> None:
        schema = _Roll(_State(state.columns)).finished().schema
        with pq.ParquetWriter(temp, schema, compression="zstd", store_schema=False) as writer:
            for group in _regrouped(self._content(state, vectors)):
                if self.cancelled:
                    return
                hit("ranks-row-group")
                writer.write_table(group)
            writer.add_key_value_metadata(
                {
                    RANKS_KEY: json.dumps(state.ranks),
                    ROLLED_ROWS_KEY: str(state.rows),
                    ATTEMPT_KEY: str(self._attempt),
                }
            )

    def _continued(
        self, vectors: pq.ParquetFile, columns: dict[str, tuple[str, str]]
    ) -> _State | None:
        """What is known, if it is of the first rows of this file."""
        state = self.state
        if state is None or state.columns != columns or state.rows > vectors.metadata.num_rows:
            return None
        if state.closed and not os.path.exists(os.path.join(self._run_dir, RANKS_PARQUET)):
            return None
        if not state.rows:
            return state
        names = ["_producer", "_seq"]
        last = next(_batches(vectors, state.rows - 1, names, GROUP_ROWS)).slice(0, 1)
        return state if [state.last] == list(zip(*last.to_pydict().values(), strict=True)) else None

    def _content(self, state: _State, vectors: pq.ParquetFile) -> Iterator[pa.Table]:
        """Yields the new file: what is there for good, old and new, and the open steps."""
        roll, left = _Roll(state), state.closed
        if left:
            with open_arrow(os.path.join(self._run_dir, RANKS_PARQUET)) as source:
                for batch in pq.ParquetFile(source, pre_buffer=False).iter_batches(
                    GROUP_ROWS, use_threads=False
                ):
                    yield pa.Table.from_batches([batch.slice(0, left)])
                    left -= min(left, batch.num_rows)
                    if not left:
                        break
        names = [name for name, _ in state.columns.values()]
        names = ["_producer", "_seq", "_rank", "step", "timestamp", *names]
        for batch in _batches(vectors, state.rows, names, roll.most_rows // 2):
            if self.cancelled:
                return
            table = roll.add(batch)
            if table.num_rows:
                state.closed += table.num_rows
                yield table
        yield roll.finished()


class RankFile:
    """The ranks.parquet of one run.

    Args:
        run_dir: the run's directory.
        attempt: of the run.
    """

    def __init__(self, run_dir: str, attempt: int) -> None:
        self._run_dir = run_dir
        self._attempt = attempt
        self._state: _State | None = None

    def start(self) -> RankFileUpdate:
        """Begins to bring it up to date, in a thread."""
        update = RankFileUpdate(self._run_dir, self._attempt, self._state)
        update.start()
        return update

    def take(self, update: RankFileUpdate) -> None:
        """Notes how far an update goes, once its file has been renamed."""
        self._state = update.state

    def forget(self) -> None:
        """Makes the next update from all rows."""
        self._state = None


class _Roll:
    """Takes rows in the order of the file; gives back steps as soon as they are complete."""

    def __init__(self, state: _State) -> None:
        self._state = state
        self.most_rows = max(LEAST_OPEN_ROWS, MOST_OPEN_CELLS // (len(state.columns) + 5))

    def add(self, batch: pa.RecordBatch) -> pa.Table:
        import pyarrow.compute as pc

        from expman.storage.rank_rollup import rank_states

        state = self._state
        state.rows += batch.num_rows
        last = batch.slice(batch.num_rows - 1)
        state.last = (last.column("_producer")[0].as_py(), last.column("_seq")[0].as_py())
        rows = self._renamed(pa.Table.from_batches([batch]))
        for rank, (step, at, count) in rank_states(rows).items():
            known = state.ranks.get(rank, (step, at, 0))
            state.ranks[rank] = max(known[0], step), max(known[1], at), known[2] + count
        if state.open is not None:
            rows = pa.concat_tables([state.open, rows])
        floor = min((step for step, _, _ in state.ranks.values()), default=0)
        if rows.num_rows > self.most_rows:  # a rank is far behind, or gone
            steps = rows["step"].take(pc.sort_indices(rows["step"]))
            floor = max(floor, steps[len(steps) - self.most_rows // 2].as_py())
        is_done = pc.less(rows["step"], floor)
        state.open = rows.filter(pc.invert(is_done)).combine_chunks()
        return self._rolled(rows.filter(is_done), final=False)

    def finished(self) -> pa.Table:
        """Returns the steps that are not complete, as they are now."""
        rows = self._state.open
        if rows is None:
            types = {metric: dtype for metric, (_, dtype) in self._state.columns.items()}
            fields = [(name, pa.int64()) for name in ("step", "_rank", "timestamp")]
            fields += [(name, pa.type_for_alias(dtype)) for name, dtype in types.items()]
            rows = pa.schema(fields).empty_table()
        return self._rolled(rows, final=True)

    def _rolled(self, rows: pa.Table, *, final: bool) -> pa.Table:
        from expman.storage.rank_rollup import roll_up, whole_steps

        state = self._state
        took, after = whole_steps(rows, len(state.ranks), state.whole_at)
        if not final:
            state.whole_at = after
        return roll_up(rows, list(state.columns), took)

    def _renamed(self, rows: pa.Table) -> pa.Table:
        import pyarrow.compute as pc

        rows = rows.filter(pc.and_(pc.is_valid(rows["step"]), pc.is_valid(rows["_rank"])))
        columns = {name: rows[name].cast(pa.int64()) for name in ("step", "_rank", "timestamp")}
        columns |= {metric: rows[name] for metric, (name, _) in self._state.columns.items()}
        return pa.table(columns)


def _columns(schema: pa.Schema) -> dict[str, tuple[str, str]] | None:
    """Metrics that are numbers, each with its column and its type; None without ranks."""
    from expman.storage.rank_rollup import MOST_METRICS, TOOK

    if schema.get_field_index("_rank") < 0:
        return None
    metric_of = columns_metadata(schema.metadata)
    found: dict[str, tuple[str, str]] = {}
    for field in schema:
        metric = metric_of.get(field.name, field.name)
        is_number = not pa.types.is_string(field.type)
        if field.name not in FIXED and is_number and metric != TOOK and len(found) < MOST_METRICS:
            found[metric] = field.name, str(field.type)
    return found


def _batches(
    vectors: pq.ParquetFile, first: int, names: list[str], size: int
) -> Iterator[pa.RecordBatch]:
    """Yields the rows from a number on."""
    metadata = vectors.metadata
    begin = 0
    groups: list[int] = []
    skip = 0
    for number in range(metadata.num_row_groups):
        count = metadata.row_group(number).num_rows
        if begin + count > first:
            if not groups:
                skip = first - begin
            groups.append(number)
        begin += count
    if not groups:
        return
    for batch in vectors.iter_batches(size, groups, names, use_threads=False):
        rest = batch.slice(min(skip, batch.num_rows))
        skip -= batch.num_rows - rest.num_rows
        if rest.num_rows:
            yield rest


def _regrouped(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Joins tables into row groups of the usual size."""
    held: list[pa.Table] = []
    rows = 0
    for table in tables:
        held.append(table)
        rows += table.num_rows
        while rows >= GROUP_ROWS:
            joined = pa.concat_tables(held)
            yield joined.slice(0, GROUP_ROWS).combine_chunks()
            held = [joined.slice(GROUP_ROWS)]
            rows = held[0].num_rows
    if rows:
        yield pa.concat_tables(held).combine_chunks()
