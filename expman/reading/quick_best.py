"""One number of `best` in a run.yaml of expman, without parsing the rest: lists sort by it."""

from __future__ import annotations

import re
from functools import lru_cache

from expman.reading.runyaml import RunYaml

__all__ = ["best_number"]

_NAME = re.compile(r"[A-Za-z_/][\w./-]*", re.ASCII)
_INT = re.compile(rb"-?\d{1,18}")
_FLOAT = re.compile(rb"-?\d+\.\d+(?:e[-+]\d+)?")


def best_number(yaml: RunYaml, metric: str, suffix: str) -> int | float | None:
    """Returns a number of a metric; None if the file must be parsed.

    Expman writes each metric of `best` on a line of its own, below the key `best` of the top level.
    """
    data = yaml.data
    begin = data.find(b"\nbest:\n")
    if begin < 0 or b"\nrows_logged: " not in data:
        return None
    found = _line(metric, suffix).search(data, begin + 6)
    # A line that does not begin with a blank is the end of the block.
    if found is None or not _IN_BLOCK.fullmatch(data, begin + 7, found.start() + 1):
        return None
    text = found[1]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else None


_IN_BLOCK = re.compile(rb"(?:  [^\n]*\n)*")


@lru_cache(maxsize=64)
def _line(metric: str, suffix: str) -> re.Pattern[bytes]:
    if not _NAME.fullmatch(metric):
        return re.compile(rb"(?!)()")
    key = re.escape(f"\n  {metric}: {{").encode()
    return re.compile(key + rb"(?:[^\n}]*, )?" + suffix.encode() + rb": ([^\n,}]+)[,}]")
