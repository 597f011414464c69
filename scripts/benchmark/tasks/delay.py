"""How long after the call a row can be read from disk, by another process, while the run lives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmark.child import load
from benchmark.contestants import BY_NAME, Contestant
from benchmark.timing import make_rows, quantile

LOOK_S = 0.03
LAST_LOOK_S = 15.0
_READER = """
import sys
sys.path.append(sys.argv.pop())
from benchmark.tasks.delay import look
look()
"""


def run(contestant: Contestant, directory: str, params: dict[str, Any]) -> dict[str, Any]:
    """Logs `rate` rows per second for `seconds`, while a reader counts them every 30 ms.

    Rows that nobody could read within 15 s after the last one, before close(), are `unread`.
    """
    opened = load(contestant).open_run(directory, contestant.variant)
    stop = Path(directory, "stop-reading")
    os.makedirs(directory, exist_ok=True)
    total = int(params["rate"] * params["seconds"])
    root = str(Path(__file__).resolve().parents[2])
    reader = subprocess.Popen(
        [sys.executable, "-c", _READER, contestant.name, directory, str(stop), str(total), root],
        stdout=subprocess.PIPE,
        text=True,
    )
    rows, logged_at, due = make_rows(2), [], time.monotonic()
    try:
        for step in range(total):
            due += 1 / params["rate"]
            time.sleep(max(0.0, due - time.monotonic()))
            opened.log(rows[step % len(rows)], step)
            logged_at.append(time.time())
        try:
            output = reader.communicate(timeout=LAST_LOOK_S)[0]
        except subprocess.TimeoutExpired:
            stop.touch()
            output = reader.communicate()[0]
    finally:
        if reader.poll() is None:
            reader.kill()
            reader.wait()
        opened.close()
    looks: list[tuple[float, int]] = json.loads(output)
    delays, at = [], 0
    for step, moment in enumerate(logged_at):
        while at < len(looks) and looks[at][1] <= step:
            at += 1
        if at < len(looks):
            delays.append(max(0.0, looks[at][0] - moment))
    unread = total - len(delays)
    if not delays:
        return {"rows": total, "unread": unread}
    delays.sort()
    return {
        "rows": total,
        "unread": unread,
        "delay_p50_s": quantile(delays, 0.5),
        "delay_max_s": delays[-1],
    }


def look() -> None:
    """Counts the rows again and again, and prints when it saw how many."""
    name, directory, stop, total = sys.argv[1:5]
    contestant = BY_NAME[name]
    module = load(contestant)
    looks: list[tuple[float, int]] = []
    while not os.path.exists(stop):
        try:
            count = module.count_rows(directory, contestant.variant)
        except Exception as exc:  # noqa: BLE001 - not there yet, or torn: the next look tells
            print(f"{type(exc).__name__}: {exc}", file=sys.stderr)
            count = 0
        if count > (looks[-1][1] if looks else 0):
            looks.append((time.time(), count))
        if count >= int(total):
            break
        time.sleep(LOOK_S)
    print(json.dumps(looks))
