"""Finds out where the files of a run stand, however their last writer ended.

Each row that is in a file is kept once: the Parquet file's footer has how far each producer's
rows are in it, and rows of the tail that it covers already are dropped. A torn end is cut off;
what cannot be read is renamed to `.corrupt`, never deleted.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from expman.storage.arrowfile import open_arrow
from expman.storage.columns import Columns, Warn, check_layout
from expman.storage.contents import Contents
from expman.storage.paths import (
    VECTORS,
    create_temp,
    is_regular,
    open_regular,
    parquet_name,
    quarantine,
    read_regular,
    tail_number,
    write_all,
)
from expman.storage.tail import TailFile, TornTail, read_tail, with_checksum

__all__ = ["ParquetFacts", "Resumed", "resume"]


class ParquetFacts(msgspec.Struct):
    """Facts about a table's Parquet file.

    Attributes:
        path: where it is.
        exists: it is there.
        rows: rows in it.
        groups: row groups in it; 0 if they need no joining.
    """

    path: str
    exists: bool = False
    rows: int = 0
    groups: int = 0


class Resumed(msgspec.Struct):
    """State of the files.

    Attributes:
        parquet: the Parquet file.
        tails: the tail files with rows of their own, in order.
        next_number: number for the next tail file.
        contents: what the rows in the files add up to.
    """

    parquet: ParquetFacts
    tails: list[TailFile] = []
    next_number: int = 1
    contents: Contents = msgspec.field(default_factory=Contents)


def resume(run_dir: str, columns: Columns, warn: Warn, stem: str = VECTORS) -> Resumed:
    """Reads the state of a table in `run_dir` and heals its files; fills `columns`.

    Raises:
        OSError: a file cannot be read or healed; nothing is lost by trying again.
        StorageError: a later version of expman wrote a file; nothing is changed.
    """
    path = os.path.join(run_dir, parquet_name(stem))
    state = Resumed(ParquetFacts(path))
    if os.path.lexists(path):
        _resume_parquet(path, state, columns, warn)
    numbers: list[tuple[int, str]] = []
    for name in os.listdir(run_dir):
        # A .corrupt file's number is not used again.
        number = tail_number(name.partition(".arrow")[0] + ".arrow", stem)
        if number is not None:
            state.next_number = max(state.next_number, number + 1)
            if name.endswith(".arrow"):
                numbers.append((number, os.path.join(run_dir, name)))
    for _, tail_path in sorted(numbers):
        tail = _resume_tail(tail_path, state, columns, warn)
        if tail is not None:
            state.tails.append(tail)
    return state


def _set_aside(path: str, why: str, warn: Warn) -> None:
    target = quarantine(path)
    warn(path, f"{path} {why}; it was renamed to {os.path.basename(target)}")


def _resume_parquet(path: str, state: Resumed, columns: Columns, warn: Warn) -> None:
    if not is_regular(path):
        _set_aside(path, "is not a regular file", warn)
        return
    try:
        with open_arrow(path) as source, pq.ParquetFile(source, pre_buffer=False) as file:
            schema = file.schema_arrow
            check_layout(path, schema.metadata)
            if not columns.adopt(schema):
                _set_aside(path, "was not written by expman", warn)
                return
            metadata = schema.metadata or {}
            if not state.contents.read_footer(metadata):
                _read_rows(file, state.contents, columns)
            elif not state.contents.read_best(metadata):  # an earlier version wrote it
                _read_best(file, state.contents, columns)
            rows, groups = file.metadata.num_rows, file.metadata.num_row_groups
            state.parquet = ParquetFacts(path, True, rows, groups)
    except (pa.ArrowException, OSError) as exc:
        if isinstance(exc, OSError) and exc.errno:
            raise
        _set_aside(path, f"is not a valid Parquet file ({exc})", warn)


def _read_rows(file: pq.ParquetFile, contents: Contents, columns: Columns) -> None:
    for batch in file.iter_batches(use_threads=False):
        _fresh_rows(batch, contents.lanes)
        contents.add_batch(batch, columns)


def _read_best(file: pq.ParquetFile, contents: Contents, columns: Columns) -> None:
    for batch in file.iter_batches(use_threads=False):
        contents.add_best(batch, columns)


def _resume_tail(path: str, state: Resumed, columns: Columns, warn: Warn) -> TailFile | None:
    if not is_regular(path):
        _set_aside(path, "is not a regular file", warn)
        return None
    written_back = _written_back(path)
    tail: TailFile | None = None
    # Per batch: True to keep all rows, False for none, or a mask.
    kept: list[bool | pa.Array] = []
    ours = True
    cut: TornTail | None = None
    try:
        for schema, batch, offset in read_tail(path):
            if batch is None:
                check_layout(path, schema.metadata)
                ours = columns.adopt(schema)
                if not ours:
                    break
                tail = TailFile(path, schema)
            elif tail is not None:
                fresh = _fresh_rows(batch, state.contents.lanes)
                kept.append(fresh)
                if fresh is not False:
                    left = batch if fresh is True else batch.filter(fresh)
                    state.contents.add_batch(left, columns)
                    tail.rows += batch.num_rows if fresh is True else fresh.true_count
            if tail is not None:
                tail.good_bytes = offset
    except TornTail as exc:
        cut = exc
    if not ours:
        _set_aside(path, "was not written by expman", warn)
        return None
    if cut is not None and not _cut_off(path, cut, tail is None, warn):
        return None
    if tail is None or not tail.rows:
        os.unlink(path)
        return None
    if not written_back or any(fresh is not True for fresh in kept):
        _rewrite_without(tail, kept)
    tail.inherit()
    return tail


def _written_back(path: str) -> bool:
    """Makes a predecessor's data durable; False: what is read now must be written again.

    What is in memory of a file whose fsync failed may be gone at any later moment.
    """
    fd = open_regular(path)
    try:
        os.fsync(fd)
    except OSError as exc:
        if exc.errno not in (errno.EIO, errno.ENOSPC, errno.EDQUOT):
            raise
        return False
    finally:
        os.close(fd)
    return True


def _cut_off(path: str, cut: TornTail, unreadable: bool, warn: Warn) -> bool:
    """Ends the file where its whole messages end; False if nothing of it is left."""
    size = os.path.getsize(path)
    if unreadable and size and not _looks_torn(path):
        _set_aside(path, f"is not an Arrow stream ({cut.detail})", warn)
        return False
    if not cut.torn:
        copy = f"{path}.corrupt"
        if not os.path.lexists(copy):
            import shutil  # seldom needed, and slow to import

            shutil.copyfile(path, copy)
        warn(path, f"{path}: wrong bytes from {cut.offset} on; a copy is in {copy}")
    elif size > cut.offset:
        warn(
            path,
            f"{path}: the last {size - cut.offset} bytes were an unfinished write; cut off",
        )
    if not unreadable:
        os.truncate(path, cut.offset)
    return True


def _looks_torn(path: str) -> bool:
    """True if the file is the beginning of our stream's first message, or zeros."""
    head = read_regular(path, most_bytes=4096)
    return b"\xff\xff\xff\xff".startswith(head[:4]) or not head.strip(b"\0")


def _rewrite_without(tail: TailFile, kept: list[bool | pa.Array]) -> None:
    """Takes rows that are in an earlier file out of this one."""
    fd, temp = create_temp(os.path.dirname(tail.path))
    try:
        data = tail.schema.serialize()
        write_all(fd, memoryview(data))
        good = data.size
        batches = (batch for _, batch, _ in read_tail(tail.path, tail.good_bytes) if batch)
        for batch, fresh in zip(batches, kept, strict=True):
            if fresh is not False:
                left = batch if fresh is True else batch.filter(fresh)
                message = with_checksum(left.serialize())
                write_all(fd, message)
                good += len(message)
        os.fsync(fd)
        os.rename(temp, tail.path)
        tail.good_bytes = good
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temp)
        raise
    finally:
        os.close(fd)


def _fresh_rows(batch: pa.RecordBatch, lanes: dict[str, int]) -> bool | pa.Array:
    """Rows that are in no earlier file, by producer and seq; advances `lanes`."""
    if not batch.num_rows:
        return False
    import pyarrow.compute as pc  # slow to import, and a run's first writer does not need it

    seqs = batch.column("_seq")
    producers = batch.column("_producer").dictionary_encode()
    masks: list[pa.Array] = []
    whole = True
    for code, producer in enumerate(producers.dictionary.to_pylist()):
        mine = pc.equal(producers.indices, code)
        seen = lanes.get(producer, 0)
        ends = pc.min_max(seqs.filter(mine)).as_py()
        if ends["max"] is None:
            continue
        masks.append(mine if ends["min"] >= seen else pc.and_(mine, pc.greater_equal(seqs, seen)))
        whole = whole and ends["min"] >= seen
        lanes[producer] = max(seen, ends["max"] + 1)
    return whole or _any_of(masks)


def _any_of(masks: Iterable[pa.Array]) -> bool | pa.Array:
    import pyarrow.compute as pc

    joined: pa.Array | None = None
    for mask in masks:
        joined = mask if joined is None else pc.or_(joined, mask)
    return joined if joined is not None and joined.true_count else False
