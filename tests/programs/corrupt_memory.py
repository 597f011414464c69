"""Damages the shared memory of live runs, many times, and says what a writer made of it.

corrupt_memory.py BASE_DIR AREA FIRST_SEED ROUNDS: AREA is index, data, term, control or address.

Each round a child logs into a lane of its own while this process, its writer, flips bits and
overwrites words; then the child closes the lane or dies. Rows whose bytes were not touched must
be in the file by value. Prints, as JSON, the number of rounds, rows and damaged rows.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import mmap
import os
import random
import signal
import sys
import time
from collections.abc import Iterator

import pyarrow.parquet as pq

from expman.errors import CorruptLaneError, LayoutVersionError
from expman.models import LogLevel, RunStatus
from expman.storage import yamlfile
from expman.transport import layout, open_term, places, records
from expman.transport.address import new_address
from expman.transport.hello import Hello
from expman.transport.identity import this_host
from expman.transport.producer import LaneProducer
from expman.writer import consolidation, ending, retry, server

MAX_BYTES = 128 * 1024
ROUND_S = 20.0
os.fsync = lambda fd: None  # the machine stays up
# Waits that are made for people and for threads held up by other work.
open_term.SETTLE_S = 0.02
consolidation.FIRST_REWRITE_S = 0.01
ending.PATIENCE_S = retry.RETRY_S = server.LIVENESS_SPACING_S = 0.02

base_dir, area, first_seed, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


class Round:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(f"{area} {seed}")
        self.name = f"{area}-{seed}"
        self.rows = self.chance.randrange(50, 3000)
        self.runs = True
        self.killed = False
        self.damaged: set[int] = set()
        self.emptied: set[int] = set()  # rows whose entries say that they were never published
        self.strict = area in ("index", "data")
        os.makedirs(os.path.join(base_dir, "corrupt", self.name))
        self.address, base = new_address(2 * MAX_BYTES)
        base.close()
        self.counter = mmap.mmap(-1, 8)
        self.logged = memoryview(self.counter).cast("Q")
        self.child = self.start_child()

    # -- the producer -------------------------------------------------------------------

    def start_child(self) -> int:
        self.wait_read, self.wait_write = os.pipe()
        pid = os.fork()
        if pid:
            os.close(self.wait_read)
            return pid
        status = 1
        try:
            os.close(self.wait_write)
            self.log()
            status = 0
        finally:
            os._exit(status)

    def log(self) -> None:
        hello = Hello(
            role="owner",
            producer="main",
            pid=os.getpid(),
            started_at_ns=time.time_ns(),
            started_monotonic_ns=time.monotonic_ns(),
            base_dir=base_dir,
            experiment="corrupt",
            run_name=self.name,
            language="python",
            env_path="",
            max_buffer_bytes=MAX_BYTES,
            host=this_host(places.SHM),
        )
        lane = LaneProducer(self.address, hello)
        pause = self.rows // 20
        for n in range(self.rows):
            lane.log_vector({"n": n, "half": n / 2} if n % 3 else {"n": n, "text": f"row {n}"}, n)
            self.logged[0] = n + 1
            if n % 50 == 49:
                lane.log_message(LogLevel.INFO, f"message {n}")
                lane.log_scalar("n", n)
                lane.log_params({"n": n, "deep": {"list": [n, None]}})
                lane.save_artifact(__file__, None, f"a{n % 4}")
                lane.request_flush(0.1)
            if n % pause == 0:
                time.sleep(0.0005)
        os.read(self.wait_read, 1)
        if self.seed % 2:
            lane.close(RunStatus.FINISHED, None, 1.0)

    # -- damage -------------------------------------------------------------------------

    def segments(self) -> list[str]:
        start = f"expman-{self.address.token}"
        depth = {"address": 1, "control": 2}.get(area, 3)
        names = [name for name in os.listdir("/dev/shm") if name.startswith(start)]
        return sorted(name for name in names if name.count("-") == depth)

    def damage(self) -> None:
        names = self.segments()
        if not names:
            return
        with open(f"/dev/shm/{self.chance.choice(names)}", "r+b") as file:
            memory = mmap.mmap(file.fileno(), 0)
        if area in ("index", "data"):
            self.damage_records(memory)
            return
        size = min(len(memory), layout.CONTROL_BYTES + 600)
        if area == "control" and self.chance.random() < 0.8:
            starts = range(layout.START_TABLE, layout.START_TABLE + 12)
            others = range(layout.SEQ_BASE, layout.GAP_TABLE)
            used = [*range(16, 28), *range(32, 52), *starts, *others, 0, 1, 2, *range(8, 16)]
            offset = 8 * self.chance.choice([*used, 28, 29, 30])
        elif area == "address":
            offset = 8 * self.chance.choice([0, 1, 8, 9, 10, 11])
        else:
            offset = self.chance.randrange(size // 8) * 8
        self.flip(memory, offset)

    def flip(self, memory: mmap.mmap, offset: int) -> None:
        word = memoryview(memory)[offset : offset + 8].cast("Q")
        match self.chance.randrange(4):
            case 0:
                word[0] ^= 1 << self.chance.randrange(64)
            case 1:
                word[0] = self.chance.getrandbits(64)
            case 2:
                word[0] = self.chance.choice([0, 1, 2**63, 2**64 - 1, 2**32])
            case _:
                word[0] = (word[0] + self.chance.choice([1, -1, 64, 4096])) % 2**64

    def damage_records(self, memory: mmap.mmap) -> None:
        entries = layout.index_entries(len(memory))
        index = memoryview(memory)[64 : 64 + 4 * entries].cast("I")
        lengths = index[:].tolist()
        used = lengths.index(0) if 0 in lengths else len(lengths)
        if not used:
            return
        hit = self.chance.randrange(used)
        lengths = list(map(layout.record_bytes, lengths))
        start = layout.data_offset(len(memory)) + sum(lengths[:hit])
        try:
            record = records.decode_one(memory[start : start + lengths[hit]])
        except ValueError:
            record = None  # damaged already
        if area == "index":
            index[hit] = self.chance.choice([0, 1, index[hit] + 1, 2**32 - 1, index[hit] ^ 64])
            if isinstance(record, records.Vector) and not index[hit]:
                self.emptied.add(record.step or 0)
            return
        if record is None:
            return
        if isinstance(record, records.Vector):
            self.damaged.add(record.step or 0)
        else:
            self.strict = False  # one that others may hang on
        for _ in range(self.chance.randrange(1, 4)):
            offset = start + self.chance.randrange(lengths[hit])
            memory[offset] ^= 1 << self.chance.randrange(8)

    # -- the writer ---------------------------------------------------------------------

    def play(self) -> None:
        serving = server.Server(self.address)
        moments = [self.chance.random() * 0.05 for _ in range(self.chance.randrange(1, 6))]
        begin = time.monotonic()
        self.lanes_are_there(serving)
        while moments:
            serving.step()
            if time.monotonic() - begin > min(moments):
                moments.remove(min(moments))
                self.damage()
                if self.chance.random() < 0.3:
                    serving = self.succeed(serving)
        os.close(self.wait_write)
        finished = False
        while not finished:
            if not serving.step():
                time.sleep(0.0005)
            passed_s = time.monotonic() - begin
            if passed_s > 2.0:  # it may wait for memory that a damaged word denies it
                self.kill_child()
            # A writer that could read no lane ends after its trainer.
            finished = (
                serving.finished or (serving.idle and not self.child_runs())
            ) and serving.remove_address()
            if passed_s > ROUND_S:
                raise TimeoutError(f"no end: {serving.write_errors}")

    def child_runs(self) -> bool:
        if self.runs:
            self.runs = os.waitpid(self.child, os.WNOHANG) == (0, 0)
        return self.runs

    def kill_child(self) -> None:
        if self.child_runs():
            self.killed = True
            os.kill(self.child, signal.SIGKILL)

    def succeed(self, serving: server.Server) -> server.Server:
        """As if the writer was killed here, and its successor had to begin with the damage."""
        for one in serving._runs.values():
            if one._files is not None:
                one._files.close()
        return server.Server(self.address)

    def lanes_are_there(self, serving: server.Server) -> None:
        while not self.logged[0]:
            serving.step()

    def check(self) -> int:
        path = os.path.join(base_dir, "corrupt", self.name, "vectors.parquet")
        rows: list[dict[str, object]] = []
        if os.path.exists(path):
            rows = pq.read_table(path, partitioning=None).to_pylist()
        if not self.strict:
            return len(rows)
        found = {tuple(row.get(key) for key in ("step", "n", "half", "text")) for row in rows}
        # The last one of a lane that nobody has sealed: a call that was killed leaves the same.
        is_sealed = self.seed % 2 and not self.killed
        lost = set() if is_sealed else self.emptied & {self.logged[0] - 1}
        for n in set(range(self.logged[0])) - self.damaged - lost:
            assert ((n, n, n / 2, None) if n % 3 else (n, n, None, f"row {n}")) in found, n
        assert len(rows) <= self.logged[0] + 1
        meta = yamlfile.RunFile(os.path.dirname(path)).read()
        wanted = RunStatus.FINISHED if self.seed % 2 else RunStatus.CRASHED
        assert meta.status is wanted or self.killed, meta.status  # a slow machine, or a lost word
        return len(rows)

    def clean_up(self) -> None:
        self.kill_child()
        for name in os.listdir("/dev/shm"):
            if name.startswith(f"expman-{self.address.token}"):
                os.unlink(f"/dev/shm/{name}")


@contextlib.contextmanager
def watched(seed: int) -> Iterator[None]:
    faulthandler.dump_traceback_later(ROUND_S + 5, exit=True)
    try:
        yield
    except BaseException:
        print(f"{area}, seed {seed}", file=sys.stderr)
        raise
    finally:
        faulthandler.cancel_dump_traceback_later()


told = {"rounds": 0, "rows": 0, "damaged": 0}
for seed in range(first_seed, first_seed + rounds):
    with watched(seed):
        one = Round(seed)
        try:
            with contextlib.suppress(CorruptLaneError, LayoutVersionError):
                one.play()
            told["rows"] += one.check()
            told["damaged"] += len(one.damaged)
            told["rounds"] += 1
        finally:
            one.clean_up()
print(json.dumps(told))
