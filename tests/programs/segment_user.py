"""Uses segments as told on standard input; says `done` after each command.

Commands: lock NAME, attach NAME, fork NAME, tracker, exit. `fork` leaves a child that has
inherited the descriptor and lives until its parent's standard input ends.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from expman.transport import places, segment


def children() -> list[int]:
    pid = os.getpid()
    return [int(pid) for pid in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def main() -> None:
    kept = []
    for line in sys.stdin:
        command, *arguments = line.split()
        match command:
            case "lock":
                memory = segment.attach(places.SHM, arguments[0])
                kept.append(memory)
                print("locked" if memory.try_lock() else "refused")
            case "attach":
                memory = segment.attach(places.SHM, arguments[0])
                memory.map()[0:4] = b"seen"
                memory.close()
                print("attached")
            case "fork":
                child = os.fork()
                if not child:
                    sys.stdin.read()
                    os._exit(0)
                print(child)
            case "tracker":
                print("children", *children())
            case "exit":
                return


main()
