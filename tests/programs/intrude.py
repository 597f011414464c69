"""Tries, as another user, what only the user of a run may do; prints as JSON what came of it.

intrude.py UID ADDRESS WRITER_PID TRAINER_PID BASE_DIR OUTSIDE: ADDRESS is of the run's engine,
OUTSIDE a directory into which a planted lane would make the writer write.
"""

from __future__ import annotations

import hashlib  # noqa: F401 - a lock needs it, and it could not be read later on
import json
import os
import random  # noqa: F401 - as hashlib
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from expman import attach
from expman.launch import shared
from expman.transport import layout, segment
from expman.transport.hello import Hello, encode_hello
from expman.writer import recover

uid, address, writer_pid, trainer_pid, base_dir, outside = sys.argv[1:]
list(recover.recover(base_dir, dry_run=True))  # imports what could not be read later on
os.setgroups([])
os.setgid(int(uid))
os.setuid(int(uid))
place = segment.Address.parse(address.rpartition("#")[0])


def plant() -> None:
    """Leaves a lane of our own, open to everybody, where the writer looks for lanes."""
    hello = encode_hello(
        Hello(
            role="owner",
            producer="main",
            pid=os.getpid(),
            started_at_ns=0,
            base_dir=outside,
            experiment="planted",
            run_name="run",
            language="python",
            env_path="",
        )
    )
    data = bytearray(layout.CONTROL_BYTES + len(hello))
    words = memoryview(data)[: layout.CONTROL_BYTES].cast("Q")
    words[layout.MAGIC], words[layout.VERSION] = layout.MAGIC_LANE, layout.LAYOUT_VERSION
    words[layout.HELLO_BYTES] = len(hello)
    data[layout.CONTROL_BYTES :] = hello
    path = f"/dev/shm/{place.segment(1)}"
    with open(path, "xb") as file:
        os.fchmod(file.fileno(), 0o666)
        file.write(data)
    print(path, file=sys.stderr)


def outcome(act: Callable[[], object]) -> str:
    try:
        return f"done: {act()}"
    except Exception as exc:
        return f"{type(exc).__name__}: {exc}"


term = next(Path("/dev/shm").glob(f"{place.segment()}-*-*"))
print(
    json.dumps(
        {
            "attach": outcome(lambda: attach(address)),
            "read": outcome(lambda: term.read_bytes()),
            "remove": outcome(lambda: term.unlink()),
            "use the writer": outcome(lambda: shared.find_shared_writer(str(place))),
            "stop the writer": outcome(lambda: os.kill(int(writer_pid), signal.SIGTERM)),
            "stop the trainer": outcome(lambda: os.kill(int(trainer_pid), signal.SIGTERM)),
            "recover": outcome(lambda: list(recover.recover(base_dir))),
            "plant": outcome(plant),
        }
    )
)
