"""Logs from eight threads at once into a lane: ADDRESS ROWS SWITCH_INTERVAL_S.

Every field of a row follows from the thread's number and the row's number in it.
"""

from __future__ import annotations

import sys
import threading

from lanes import open_lane

from expman.models import RunStatus
from expman.transport.segment import Address

THREADS = 8


def main() -> None:
    address, rows, interval_s = Address.parse(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    sys.setswitchinterval(interval_s)
    lane = open_lane(address, max_bytes=1 << 20)
    start = threading.Barrier(THREADS)

    def log(thread: int) -> None:
        start.wait()
        for number in range(rows):
            row = {"thread": thread, "number": number, "product": number * 1.5 + thread}
            if number % 5 == 4:  # other names, and another length
                row[f"extra {thread}"] = float(-number)
            lane.log_vector(row, number * THREADS + thread)

    threads = [threading.Thread(target=log, args=(thread,)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lane.close(RunStatus.FINISHED, None, 30)
    print("closed", flush=True)
    sys.stdin.read()


main()
