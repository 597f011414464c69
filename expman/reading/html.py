"""Runs in a notebook. All text is escaped: names and values come from files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from expman.errors import ExpmanError
from expman.reading.curves import curves, svg
from expman.reading.run import Run, flat_config
from expman.reading.text import ago, brief, facts, lacks, number, span, visible

if TYPE_CHECKING:
    from expman.reading.find import RunList

__all__ = ["run_html", "runs_html"]

MAX_METRICS = 24
MAX_VALUES = 40
MAX_RUNS = 50
_COLORS = {"RUNNING": "#1f6feb", "FINISHED": "#1a7f37", "FAILED": "#cf222e", "CRASHED": "#9a6700"}


def run_html(run: Run) -> str:
    """One run: status, facts, parameters, latest values with small curves."""
    try:
        status = str(run.status)
        said = facts(run)
        metrics = list(run.metrics)
        drawn = curves(run, metrics[:MAX_METRICS])
        latest, scalars = run.latest, run.scalars
        params = flat_config(run.config)
    except ExpmanError as exc:
        return f"<div><b>{_safe(run.path)}</b>: {_safe(str(exc))}</div>"
    head = f"<b>{_safe(run.experiment)} / {_safe(run.name)}</b> {_badge(status)}"
    values = [
        (name, number(latest.get(name)), svg(drawn[name]) if name in drawn else "", remark)
        for name in (*drawn, *(name for name in metrics[:MAX_METRICS] if name not in drawn))
        for remark in [drawn[name].remark if name in drawn else ""]
    ]
    parts = [
        _rows([(name, text) for name, text in said]),
        _titled("Latest", _rows(values, raw=(2,), more=len(metrics) - MAX_METRICS)),
        _titled("Scalars", _named(scalars)),
        _titled("Parameters", _named(params)),
    ]
    body = "".join(f'<div style="margin:0 2em 0 0">{part}</div>' for part in parts if part)
    return f'<div>{head}<div style="display:flex;flex-wrap:wrap;margin-top:.4em">{body}</div></div>'


def runs_html(runs: RunList) -> str:
    """A list of runs: one line each."""
    lines = []
    for run in runs[:MAX_RUNS]:
        try:
            latest = list(run.latest.items())
            shown = ", ".join(f"{name} {number(value)}" for name, value in latest[:4])
            more = " …" if len(latest) > 4 else ""
            shown = brief(shown)
            took, status, began = span(run.duration), _badge(str(run.status)), ago(run.started_at)
            missing = lacks(run)
            status += f", {_safe(missing)}" if missing else ""
        except ExpmanError as exc:
            shown, more, took, status, began = str(exc), "", "", "", ""
        lines.append((run.experiment, run.name, status, began, took, shown + more))
    head = ("experiment", "run", "status", "started", "took", "latest")
    table = _rows(lines, raw=(2,), head=head, more=len(runs) - MAX_RUNS)
    lost = len(runs.unreadable)
    note = f"<div>{lost} runs cannot be read; see <code>.unreadable</code></div>" if lost else ""
    return f"<div>{table or 'no runs'}{note}</div>"


def _badge(status: str) -> str:
    color = _COLORS.get(status, "#57606a")
    return f'<span style="color:{color};font-weight:600">{_safe(status)}</span>'


def _named(values: Mapping[str, object]) -> str:
    lines = [(name, number(value)) for name, value in list(values.items())[:MAX_VALUES]]
    return _rows(lines, more=len(values) - MAX_VALUES)


def _safe(text: str) -> str:
    return escape(visible(text))


def _titled(title: str, table: str) -> str:
    return f"<div><i>{title}</i></div>{table}" if table else ""


def _rows(
    lines: Sequence[Iterable[str]],
    *,
    raw: tuple[int, ...] = (),
    head: Sequence[str] = (),
    more: int = 0,
) -> str:
    if not lines:
        return ""
    titles = "".join(f'<th style="text-align:left">{escape(title)}</th>' for title in head)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td style="text-align:left">{cell if n in raw else _safe(cell)}</td>'
            for n, cell in enumerate(line)
        )
        + "</tr>"
        for line in lines
    )
    rest = f"<div>… and {more} more</div>" if more > 0 else ""
    return f"<table>{f'<tr>{titles}</tr>' if titles else ''}{body}</table>{rest}"
