"""Forking while threads log: no hang, nothing done twice, nothing lost on either side."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from process.faulty import read_raw
from process.runs import run_yaml


def test_children_that_end_in_all_ways(program, run_base: Path):
    """Whatever a child does, the parent's lane is whole, and what children logged is there once."""
    forking = program("fork_around.py", run_base)
    told = json.loads(forking.succeed().splitlines()[-1])
    assert "" == forking.stderr
    run_dir = run_base / "fork" / "run"
    table = read_raw(run_dir)
    rows_of_children = len(told["children"]) * told["rows"]
    assert sum(told["threads"]) + rows_of_children == table.num_rows

    main = table.filter(pc.equal(table["_producer"], "main"))
    assert np.array_equal(np.arange(main.num_rows), main["_seq"].to_numpy())
    for thread, count in enumerate(told["threads"]):
        numbers = main.filter(pc.equal(main["thread"], thread))["n"].to_numpy()
        assert np.array_equal(np.arange(count), numbers)

    workers = table.filter(pc.not_equal(table["_producer"], "main"))
    for producer in workers["_producer"].unique().to_pylist():
        seqs = workers.filter(pc.equal(workers["_producer"], producer))["_seq"].to_numpy()
        assert np.array_equal(np.arange(len(seqs)), np.sort(seqs)), producer
    expected = [
        (child, n, n / 2) for child in sorted(told["children"]) for n in range(told["rows"])
    ]
    found = zip(*(workers[name].to_pylist() for name in ("child", "n", "half")), strict=True)
    assert expected == sorted(found)

    run = run_yaml(run_dir)
    assert ("FINISHED", None) == (run["status"], run["reason"])
    assert (table.num_rows, table.num_rows, 0, 0, 0) == tuple(
        run[key]
        for key in (
            *("rows_logged", "rows_written", "rows_dropped", "rows_missing"),
            "writer_restarts",
        )
    )
