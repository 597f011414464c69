"""Makes a base directory with very many finished runs: files as the writer leaves them.

    PYTHONPATH=scripts python -m benchmark.many_runs BASE_DIR --runs 100000

A few runs are recorded by real engines. All others have the files of one of them, with names,
times, parameters and numbers of their own, and with rows that lead to these numbers.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import random
import re
import sys
import time
from multiprocessing import Pool
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from expman import ExperimentConfig, LoggingEngine

RUNS_PER_EXPERIMENT = 10_000
_STARTED = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
_OPTIMIZERS = ("adam", "sgd", "lion")


class Template:
    """The files of a real run, of which others are made.

    Args:
        run_dir: the run.
    """

    def __init__(self, run_dir: Path) -> None:
        self.yaml = (run_dir / "run.yaml").read_text()
        self.log = (run_dir / "run.log").read_bytes()
        self.rows = pq.read_table(run_dir / "vectors.parquet")


def record_template(base: Path, rows: int) -> Template:
    """Records a run with an engine."""
    config = ExperimentConfig(
        "template", str(base / ".template"), group="sweep-0", tags=("study:0",), quiet=True
    )
    with LoggingEngine(config) as engine:
        for step in range(rows):
            engine.log_vector({"loss": 0.5, "accuracy": 0.5, "lr": 0.1}, step)
    return Template(Path(engine.run_dir))


def write_run(base: Path, template: Template, number: int) -> None:
    """Writes one run."""
    dice = random.Random(number)
    lr, layers, dropout = 10 ** dice.uniform(-5, -1), dice.randrange(2, 48), dice.random() / 2
    count = template.rows.num_rows
    noise, floor = dice.uniform(0.001, 0.05), dice.uniform(0.05, 0.4)
    loss = [floor + 2 * math.exp(-step * 0.05) + noise * dice.random() for step in range(count)]
    accuracy = [1 - value / 3 for value in loss]
    began = _STARTED + datetime.timedelta(seconds=30 * number)
    ended = began + datetime.timedelta(seconds=dice.uniform(60, 7200))
    experiment = f"experiment-{number // RUNS_PER_EXPERIMENT:02d}"
    name = f"{began:%Y%m%d_%H%M%S}-{number}"
    run_dir = base / experiment / name
    run_dir.mkdir(parents=True)
    (run_dir / "config.yaml").write_text(
        f"lr: {lr!r}\nmodel:\n  layers: {layers}\n  dropout: {dropout!r}\n  name: resnet\n"
        f"optimizer: {_OPTIMIZERS[number % 3]}\nseed: {number}\n"
        f"batch_size: {2 ** dice.randrange(4, 11)}\n"
    )
    metrics = {"loss": loss, "accuracy": accuracy, "lr": [lr] * count}
    best = {metric: _best(values) for metric, values in metrics.items()}
    _write_rows(run_dir / "vectors.parquet", template, metrics, began, best)
    (run_dir / "run.log").write_bytes(template.log)
    is_bad = number % 50 == 0
    facts = {
        "name": f"'{name}'",
        "experiment": experiment,
        "status": "CRASHED" if is_bad else "FINISHED",
        "started_at": _iso(began),
        "finished_at": _iso(ended),
        "duration_secs": f"{(ended - began).total_seconds():.3f}",
        "heartbeat_at": _iso(ended),
        "reason": "'the owner was killed: SIGKILL'" if is_bad else "null",
        "group": f"sweep-{number // 500}",
    }
    text = template.yaml
    for key, value in facts.items():
        text = re.sub(rf"^{key}: .*$", f"{key}: {value}", text, count=1, flags=re.M)
    text = text.replace("- study:0", f"- study:{number // 5000}")
    for metric, numbers in best.items():
        line = ", ".join(f"{key}: {value!r}" for key, value in numbers.items())
        text = re.sub(rf"^  {metric}: \{{.*\}}$", f"  {metric}: {{{line}}}", text, flags=re.M)
        text = re.sub(
            rf"^  {metric}: [^{{].*$", f"  {metric}: {numbers['last']!r}", text, flags=re.M
        )
    (run_dir / "run.yaml").write_text(text)  # the last one, as the writer does it


def _best(values: list[float]) -> dict[str, float | int]:
    least, greatest = min(values), max(values)
    return {
        "min": least,
        "min_step": values.index(least),
        "max": greatest,
        "max_step": values.index(greatest),
        "last": values[-1],
        "last_step": len(values) - 1,
    }


def _write_rows(
    path: Path,
    template: Template,
    metrics: dict[str, list[float]],
    began: datetime.datetime,
    best: dict[str, dict[str, float | int]],
) -> None:
    rows = template.rows
    start_us = int(began.timestamp() * 1e6)
    times = pa.array(range(start_us, start_us + 50_000 * rows.num_rows, 50_000), pa.int64())
    rows = rows.set_column(
        rows.schema.get_field_index("timestamp"),
        rows.schema.field("timestamp"),
        times.cast(rows.schema.field("timestamp").type),
    )
    for metric, values in metrics.items():
        rows = rows.set_column(rows.schema.get_field_index(metric), metric, [pa.array(values)])
    latest = json.dumps({metric: numbers["last"] for metric, numbers in best.items()})
    numbers = {m: [*found.values(), None, None] for m, found in best.items()}
    metadata = {
        **(template.rows.schema.metadata or {}),
        b"expman.latest": latest.encode(),
        b"expman.best": json.dumps([False, numbers]).encode(),
    }
    pq.write_table(
        rows.replace_schema_metadata(metadata),
        path,
        compression="zstd",
        use_dictionary=["_producer"],
        column_encoding=dict.fromkeys(("step", "timestamp", "_seq"), "DELTA_BINARY_PACKED"),
        store_schema=True,
    )


def _iso(moment: datetime.datetime) -> str:
    return f"'{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}000Z'"


def _write_some(task: tuple[Path, Template, range]) -> None:
    base, template, numbers = task
    for number in numbers:
        write_run(base, template, number)


def make_runs(base: Path, runs: int, rows: int, processes: int, first: int = 0) -> None:
    """Writes the runs with these numbers."""
    base.mkdir(parents=True, exist_ok=True)
    template = record_template(base, rows)
    step = 500
    last = first + runs
    tasks = [
        (base, template, range(start, min(start + step, last)))
        for start in range(first, last, step)
    ]
    with Pool(processes) as pool:
        for done, _ in enumerate(pool.imap_unordered(_write_some, tasks), 1):
            print(f"\r{min(done * step, runs):,} of {runs:,} runs", end="", file=sys.stderr)
    print(file=sys.stderr)


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("base_dir", type=Path)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=50, help="rows of each run")
    parser.add_argument("--first", type=int, default=0, help="number of the first run")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    began = time.monotonic()
    make_runs(options.base_dir, options.runs, options.rows, options.processes, options.first)
    print(f"{options.runs:,} runs in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
