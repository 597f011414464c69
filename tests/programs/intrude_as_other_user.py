"""Tries, as another user, to join, read and stop somebody's run.

intrude_as_other_user.py ADDRESS WRITER_PID UID: prints what each try raised.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import expman
from expman.transport import identity, producer, segment, values  # noqa: F401 - before setuid

address, pid, uid = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.setgroups([])
os.setgid(uid)
os.setuid(uid)
token = address.split(":")[1].split("#")[0]
paths = sorted(Path("/dev/shm").glob(f"expman-{token}*"))
assert paths
for what, attempt in {
    "attach": lambda: expman.attach(address),
    "read": lambda: [path.read_bytes() for path in paths],
    "write": lambda: [path.open("r+b") for path in paths],
    "remove": lambda: [path.unlink() for path in paths],
    "stop": lambda: os.kill(pid, signal.SIGTERM),
}.items():
    try:
        attempt()
        print(what, "worked")
    except (OSError, expman.ExpmanError) as exc:
        print(what, type(exc).__name__)
