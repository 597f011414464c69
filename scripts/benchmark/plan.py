"""What a session measures: which jobs, how large, in which rounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmark.contestants import Contestant

TITLES = {
    "imports": "Import",
    "start": "From construction to the first row",
    "floors": "The call beside its floors, in one process",
    "kinds": "Rows of other kinds beside rows of floats, in one process",
    "calls": "A call at full speed",
    "paced": "A paced call, caches cold",
    "threads": "4 threads",
    "workers": "4 processes",
    "trainer": "A trainer in pure Python",
    "busy": "A trainer with 8 busy threads",
    "observed": "A trainer with everything recorded unasked",
    "pictures": "Pictures",
    "whole": "A whole run",
    "column": "One column of many",
    "killed": "kill -9 after 10,000 rows at full speed",
    "delay": "Until a row can be read from disk",
}
MEASUREMENTS = tuple(TITLES)


@dataclass(frozen=True)
class Job:
    """One child process: a task with its sizes, for one contestant.

    Attributes:
        measurement: a key of TITLES.
        label: which of the measurement's sizes it is, "" if there is one.
        every: it takes part in every so many-th round, from the first one on.
    """

    measurement: str
    contestant: Contestant
    task: str
    params: dict[str, Any] = field(default_factory=dict)
    label: str = ""
    every: int = 1


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        metrics: numbers of metrics per row, for everybody.
        wide: more of them, for the fast ones.
        call_s: bound of a full-speed measurement.
        paces: metrics, rows per second, seconds; for everybody.
        fast_paces: more of them, for the fast ones.
        own_pairs: pairs of a trainer's stretches for expman and the floors: little is to be seen.
        whole: numbers of rows, for everybody.
        fast_whole: more of them, for expman and expman-rs.
        ours_whole: more of them, for expman alone.
        columns: metrics and rows of a run of which one column is read.
        samples: of the machine, to see how large they are.
        pictures: that are logged.
    """

    metrics: tuple[int, ...]
    wide: tuple[int, ...]
    call_rows: int
    call_s: float
    paces: tuple[tuple[int, int, float], ...]
    fast_paces: tuple[tuple[int, int, float], ...]
    parallel_s: float
    pairs: int
    fast_pairs: int
    own_pairs: int
    units: int
    whole: tuple[int, ...]
    fast_whole: tuple[int, ...]
    ours_whole: tuple[int, ...]
    columns: tuple[int, int]
    samples: int
    pictures: int
    whole_s: float
    delay_s: float
    imports: int
    turns: int


FULL = Sizes(
    metrics=(2, 10, 50),
    wide=(1000,),
    call_rows=20_000,
    call_s=1.0,
    paces=((2, 10, 3.0), (2, 100, 2.0), (2, 1000, 2.0), (50, 1000, 1.5)),
    fast_paces=((10, 1000, 2.0), (50, 100, 2.0), (1000, 100, 2.0)),
    parallel_s=1.0,
    pairs=2,
    fast_pairs=5,
    own_pairs=25,
    units=1000,
    whole=(1_000, 10_000, 100_000),
    fast_whole=(1_000_000,),
    ours_whole=(),
    columns=(1000, 5_000),
    samples=1000,
    pictures=60,
    whole_s=5.0,
    delay_s=3.0,
    imports=8,
    turns=60,
)
QUICK = Sizes(
    metrics=(2, 50),
    wide=(1000,),
    call_rows=5_000,
    call_s=0.5,
    paces=((2, 100, 1.0), (2, 1000, 1.0)),
    fast_paces=(),
    parallel_s=0.3,
    pairs=2,
    fast_pairs=2,
    own_pairs=4,
    units=400,
    whole=(1_000, 20_000),
    fast_whole=(200_000,),
    ours_whole=(),
    columns=(1000, 500),
    samples=300,
    pictures=30,
    whole_s=5.0,
    delay_s=2.0,
    imports=6,
    turns=20,
)
TINY = Sizes(
    metrics=(2,),
    wide=(),
    call_rows=100,
    call_s=0.2,
    paces=((2, 1000, 0.1),),
    fast_paces=(),
    parallel_s=0.05,
    pairs=1,
    fast_pairs=1,
    own_pairs=1,
    units=20,
    whole=(500,),
    fast_whole=(),
    ours_whole=(),
    columns=(10, 10),
    samples=3,
    pictures=3,
    whole_s=1.0,
    delay_s=0.2,
    imports=1,
    turns=2,
)
"""For the harness's own tests."""

LONG_ROWS = 10_000_000


def jobs_for(contestant: Contestant, sizes: Sizes) -> Iterator[Job]:
    """Lists a contestant's jobs of one round."""
    for measurement in MEASUREMENTS:
        for label, task, params, every in _PLANNERS[measurement](contestant, sizes):
            if not contestant.fast:
                every = 2 if measurement in ("imports", "calls", "paced") else 3
            yield Job(measurement, contestant, task, params, label, every)


_Planned = Iterator[tuple[str, str, dict[str, Any], int]]


def _stores(contestant: Contestant) -> bool:
    return contestant.kind in ("ours", "peer")


def _calls_like(contestant: Contestant) -> bool:
    return _stores(contestant) or contestant.kind == "transport" or contestant.name == "floor"


def _imports(contestant: Contestant, sizes: Sizes) -> _Planned:
    if contestant.imports is not None:
        times = sizes.imports if contestant.fast else 1
        beside = "msgspec" if contestant.kind == "ours" else None
        yield "", "imports", {"times": times, "beside": beside}, 1


def _start(contestant: Contestant, sizes: Sizes) -> _Planned:
    if _stores(contestant) or contestant.name == "Popen alone":
        yield "", "start", {}, 1


def _floors(contestant: Contestant, sizes: Sizes) -> _Planned:
    if contestant.kind == "ours":
        yield "", "floor", {"metrics": sizes.metrics + sizes.wide, "turns": sizes.turns}, 1


def _kinds(contestant: Contestant, sizes: Sizes) -> _Planned:
    if contestant.kind == "ours":
        yield "", "kinds", {"metrics": sizes.metrics, "turns": sizes.turns // 2}, 1


def _calls(contestant: Contestant, sizes: Sizes) -> _Planned:
    if _calls_like(contestant) or contestant.name == "empty call":
        metrics = sizes.metrics + (sizes.wide if contestant.fast else ())
        params = {"metrics": metrics, "rows": sizes.call_rows, "seconds": sizes.call_s}
        yield "", "calls", params, 1


def _paced(contestant: Contestant, sizes: Sizes) -> _Planned:
    if _calls_like(contestant):
        paces = sizes.paces + (sizes.fast_paces if contestant.fast else ())
        yield "", "paced", {"paces": paces}, 1


def _parallel(task: str) -> Callable[[Contestant, Sizes], _Planned]:
    def plan(contestant: Contestant, sizes: Sizes) -> _Planned:
        if _calls_like(contestant):
            params = {"workers": 4, "rows": sizes.call_rows, "seconds": sizes.parallel_s}
            yield "", task, params, 2

    return plan


def _trainer(threads: int) -> Callable[[Contestant, Sizes], _Planned]:
    def plan(contestant: Contestant, sizes: Sizes) -> _Planned:
        if _calls_like(contestant):
            pairs = sizes.fast_pairs if contestant.fast else sizes.pairs
            if threads == 1 and contestant.kind in ("ours", "floor"):
                pairs = sizes.own_pairs
            params = {"threads": threads, "pairs": pairs, "units": sizes.units, "stretch_s": 3.0}
            yield "", "trainer", params, 1 if threads == 1 else 2

    return plan


def _observed(contestant: Contestant, sizes: Sizes) -> _Planned:
    if contestant.kind == "ours":
        params = {"pairs": sizes.own_pairs, "units": sizes.units, "samples": sizes.samples}
        yield "", "observed", params, 1


def _pictures(contestant: Contestant, sizes: Sizes) -> _Planned:
    if contestant.kind == "ours":
        yield "", "pictures", {"pictures": sizes.pictures}, 1


def _whole(contestant: Contestant, sizes: Sizes) -> _Planned:
    if not _stores(contestant):
        return
    for rows in sizes.whole:
        yield f"{rows:,}", "whole", {"rows": rows, "seconds": sizes.whole_s}, 1
    if contestant.fast:
        more = sizes.fast_whole + (sizes.ours_whole if contestant.kind == "ours" else ())
        for rows in more:
            yield f"{rows:,}", "whole", {"rows": rows, "seconds": 300.0}, 2


def _column(contestant: Contestant, sizes: Sizes) -> _Planned:
    if _stores(contestant) and contestant.fast:  # those that write Parquet
        metrics, rows = sizes.columns
        yield "", "column", {"metrics": metrics, "rows": rows}, 2


def _killed(contestant: Contestant, sizes: Sizes) -> _Planned:
    if _stores(contestant):
        yield "", "killed", {"rows": 10_000, "seconds": sizes.whole_s}, 2


def _delay(contestant: Contestant, sizes: Sizes) -> _Planned:
    if _stores(contestant):
        yield "", "delay", {"rate": 100, "seconds": sizes.delay_s}, 2


_PLANNERS: dict[str, Callable[[Contestant, Sizes], _Planned]] = {
    "imports": _imports,
    "start": _start,
    "floors": _floors,
    "kinds": _kinds,
    "calls": _calls,
    "paced": _paced,
    "threads": _parallel("threads"),
    "workers": _parallel("workers"),
    "trainer": _trainer(1),
    "busy": _trainer(8),
    "observed": _observed,
    "pictures": _pictures,
    "whole": _whole,
    "column": _column,
    "killed": _killed,
    "delay": _delay,
}
