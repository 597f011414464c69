"""What people see of runs: HTML, rich, the live view, small curves."""

from __future__ import annotations

import io
import math
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from rich.console import Console
from unit.reading.run_files import block, make_run

import expman
from expman.models import RunStatus
from expman.reading.curves import Curve, spark, thin
from expman.reading.formats import format_duration, format_number
from expman.reading.metric_curves import curves
from expman.reading.runs_table import runs_view
from expman.storage.yamlfile import RunFile

HOSTILE = "<script>alert('x')</script>"


def test_html_of_a_run(tmp_path: Path) -> None:
    """Status, parameters, latest values and a curve are there; a live run is read afresh."""
    run_dir = make_run(
        tmp_path,
        "r",
        block(0, {"loss": [3.0, 2.0, 1.0], "note": ["a", "b", "c"]}),
        status=RunStatus.RUNNING,
        params={"model": {"layers": [2, 2]}},
    )
    run = expman.Run(run_dir)

    html = run._repr_html_()

    for text in ("exp / r", "RUNNING", "model.layers", "[2, 2]", "loss", "note", "<svg"):
        assert text in html
    assert 1 == html.count("<svg")
    make_run(tmp_path, "r")
    assert "FINISHED" in run._repr_html_()


def test_html_escapes_everything(tmp_path: Path) -> None:
    """Names and values come from files: none of them becomes a tag."""
    run_dir = make_run(
        tmp_path,
        "a<b>",
        block(0, {HOSTILE: [1.0], "t": [HOSTILE]}),
        tags=[HOSTILE],
        params={HOSTILE: HOSTILE},
        experiment="<i>",
    )

    shown = expman.Run(run_dir)._repr_html_() + expman.runs(tmp_path)._repr_html_()

    assert "<script" not in shown
    assert "<b>a<b>" not in shown
    assert "<i>" not in shown.replace("<i>Latest</i>", "").replace("<i>Parameters</i>", "")
    assert re.search("&lt;script&gt;", shown)


def test_html_of_runs(tmp_path: Path) -> None:
    """A list has a line per run and says how many cannot be read; a damaged run has its error."""
    make_run(tmp_path, "good", block(0, {"x": [1.0]}))
    bad = make_run(tmp_path, "bad", block(0, {"x": [1.0]}))
    runs = expman.runs(tmp_path)
    assert all(name in runs._repr_html_() for name in ("good", "bad", "FINISHED"))
    (bad / "run.yaml").write_text("[")

    assert "1 run cannot be read" in expman.runs(tmp_path)._repr_html_()
    assert "is not valid YAML" in expman.Run(bad)._repr_html_()
    assert "no runs" in expman.RunList()._repr_html_()


def test_rich(tmp_path: Path) -> None:
    """`rich.print` shows a run, a list of runs, and a damaged run's error."""
    console = pytest.importorskip("rich.console").Console(file=io.StringIO(), width=80)
    run = expman.Run(make_run(tmp_path, "r", block(0, {"loss": [3.0, 2.0]}), params={"lr": 0.1}))
    for shown in (run, expman.runs(tmp_path)):
        console.print(shown)
    (Path(run.path) / "run.yaml").write_text("status: [red]\n")
    console.print(run)

    text = console.file.getvalue()
    for part in ("exp/r", "FINISHED", "lr", "0.1", "loss", "█▁", "['red']"):
        assert part in text


def test_watch_ends_with_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The view of a run that goes on ends by the timeout, that of an ended one at once."""
    pytest.importorskip("rich")
    make_run(tmp_path, "live", status=RunStatus.RUNNING)
    expman.Run(tmp_path / "exp" / "live").watch(every_s=0.01, timeout_s=0.05)
    expman.Run(make_run(tmp_path, "ended")).watch()

    out = capsys.readouterr().out
    assert "exp/live" in out
    assert "exp/ended" in out


def test_curves_keep_the_ends_and_leave_nan_out(tmp_path: Path) -> None:
    """A curve has numbers only; a long one is thinned to means."""
    values = [float(n) for n in range(1000)]
    values[10] = math.nan
    run = expman.Run(make_run(tmp_path, "r", block(0, {"x": values, "t": ["a"] * 1000})))

    found = curves(run.path, points=100)

    assert ["x"] == list(found)
    assert 100 == len(found["x"].y)
    assert found["x"].y == sorted(found["x"].y)
    assert 999 == len(curves(run.path, points=10_000)["x"].y)


def test_rows_without_a_step_are_counted() -> None:
    """Where rows carry no step, the curve is drawn over their number."""
    step = pa.chunked_array([pa.array([5, None], pa.int64())])

    assert [0.0, 1.0] == thin(step, pa.chunked_array([[1, 2]]), 10).x


def test_sparks() -> None:
    """Bars follow the values; a constant is flat; nothing is nothing."""
    assert "▁▄█" == spark([0.0, 0.5, 1.0])
    assert "▁▁" == spark([3.0, 3.0])
    assert "" == spark([])
    assert 20 == len(spark([float(n) for n in range(500)]))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(1.25, "1.2s"), (245, "4m05s"), (7380, "2h03m"), (273_600, "3d04h")],
)
def test_durations(seconds: float, expected: str) -> None:
    """Two units at most."""
    import datetime

    assert expected == format_duration(datetime.timedelta(seconds=seconds))


def test_numbers() -> None:
    """Four digits, one line."""
    assert ["0.3333", "nan", "–", "a b", "True", "12345678"] == [
        format_number(value) for value in (1 / 3, math.nan, None, "a\n b", True, 12345678)
    ]


def test_lists_show_what_a_run_lacks(tmp_path: Path) -> None:
    """A FINISHED run that misses something does not look like any other, in `ls` and HTML."""
    run_dir = make_run(tmp_path, "whole", block(0, {"loss": [1.0]}))
    lacking = make_run(tmp_path, "lacking", block(0, {"loss": [1.0]}))
    file = RunFile(str(lacking))
    meta = file.read()
    meta.rows_missing, meta.artifacts_missing, meta.lanes_unreadable = 1234, 5, 6
    file.write(meta)
    said = "FINISHED, 1,234 rows missing, 5 artifacts missing, 6 lanes missing"

    console = Console(width=200, file=io.StringIO())
    console.print(runs_view(expman.runs(tmp_path).summaries()))

    assert 1 == console.file.getvalue().count(said)
    html = re.sub("<[^>]*>", "", expman.runs(tmp_path)._repr_html_())
    assert 1 == html.count(said)
    assert run_dir.name in html


def test_runs_without_colors_are_the_same_table(tmp_path: Path) -> None:
    """Where nothing is cut, lines without colors are those of the table with colors."""
    make_run(tmp_path, "wide-名前", block(0, {"x": [1.0, 2.5]}))
    make_run(tmp_path, "failed", block(0, {"x": [1.0]}), status=RunStatus.FAILED)
    shown = runs_view(expman.runs(tmp_path).summaries())

    def text(**options: Any) -> str:
        console = Console(width=120, highlight=False, file=io.StringIO(), **options)
        console.print(shown)
        assert isinstance(console.file, io.StringIO)
        return re.sub("\x1b\\[[0-9;]*m", "", console.file.getvalue())

    plain = text(color_system=None)
    assert 3 == len(plain.splitlines())
    assert text(color_system="truecolor", force_terminal=True) == plain


def test_a_curve_has_gaps_where_values_are_not_finite() -> None:
    """Their places are kept, and the curve is in pieces."""
    step = pa.chunked_array([pa.array(range(10))])
    values = [0.0, 1.0, math.nan, 3.0, None, 5.0, math.inf, -math.inf, 8.0, 9.0]
    curve = thin(step, pa.chunked_array([pa.array(values, pa.float64())]), 100)

    assert (3, [2.0, 6.0, 7.0]) == (curve.left_out, list(curve.odd))
    assert [[0.0, 1.0], [3.0, 5.0], [8.0, 9.0]] == [x for x, _ in curve.pieces()]
    assert 5 >= len(thin(step, pa.chunked_array([pa.array([math.nan] * 10)]), 5).odd)


def test_smoothing_has_no_bias() -> None:
    """A constant stays as it is, and weight 0 changes nothing."""
    assert [2.0] * 4 == pytest.approx(Curve([0, 1, 2, 3], [2.0] * 4).smoothed(0.9).y)
    curve = Curve([0, 1], [1.0, 5.0])
    assert curve.y == curve.smoothed(0.0).y
    assert 1.0 < curve.smoothed(0.5).y[1] < 5.0
