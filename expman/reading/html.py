"""HTML of runs, for notebooks. All text is escaped, because names and values come from files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from expman.errors import ExpmanError
from expman.reading.curves import svg
from expman.reading.formats import (
    format_age,
    format_duration,
    format_facts,
    format_number,
    format_remarks,
)
from expman.reading.media_html import pictures_html
from expman.reading.summary import RunDetails, RunSummary, UnreadableRun
from expman.reading.text import format_text, visible
from expman.shown import count_of

__all__ = ["error_html", "run_html", "runs_html"]

MAX_METRICS = 24
MAX_VALUES = 40
MAX_RUNS = 50
_COLORS = {"RUNNING": "#1f6feb", "FINISHED": "#1a7f37", "FAILED": "#cf222e", "CRASHED": "#9a6700"}


def run_html(run: RunDetails) -> str:
    """Returns one run: status, facts, parameters, latest values with small curves."""
    summary, metrics, drawn = run.summary, run.metrics, run.curves
    latest = summary.metadata.vectors
    title = f"{_safe(summary.experiment)} / {_safe(summary.name)}"
    head = f"<b>{title}</b> {_badge(str(summary.status))}"
    values = [
        (name, format_number(latest.get(name)), svg(drawn[name]) if name in drawn else "", remark)
        for name in (*drawn, *(name for name in metrics[:MAX_METRICS] if name not in drawn))
        for remark in [drawn[name].remark if name in drawn else ""]
    ]
    parts = [
        _rows([(name, text) for name, text in format_facts(run)]),
        _titled("Latest", _rows(values, raw=(2,), more=len(metrics) - MAX_METRICS)),
        _titled("Scalars", _named(summary.metadata.scalars)),
        _titled("Parameters", _named(run.params)),
    ]
    body = "".join(f'<div style="margin:0 2em 0 0">{part}</div>' for part in parts if part)
    flow = '<div style="display:flex;flex-wrap:wrap;margin-top:.4em">'
    pictures = pictures_html(run.media)
    shown = f"{flow}{pictures}</div>" if pictures else ""
    return f"<div>{head}{flow}{body}</div>{shown}</div>"


def error_html(run_dir: str, error: ExpmanError) -> str:
    """Returns a run that cannot be read: its directory and the error."""
    return f"<div><b>{_safe(run_dir)}</b>: {_safe(str(error))}</div>"


def runs_html(runs: Sequence[RunSummary | UnreadableRun], *, count: int, unreadable: int) -> str:
    """Returns a list of runs, one line each.

    Args:
        runs: the first runs.
        count: how many runs the whole list has.
        unreadable: how many runs could not be listed.
    """
    head = ("experiment", "run", "status", "started", "took", "latest")
    lines = [_line(run) for run in runs[:MAX_RUNS]]
    table = _rows(lines, raw=(2,), head=head, more=count - MAX_RUNS)
    note = ""
    if unreadable:
        note = (
            f"<div>{count_of(unreadable, 'run')} cannot be read; see <code>.unreadable</code></div>"
        )
    return f"<div>{table or 'no runs'}{note}</div>"


def _line(run: RunSummary | UnreadableRun) -> tuple[str, ...]:
    if isinstance(run, UnreadableRun):
        return run.experiment, run.name, "", "", "", str(run.error)
    latest = list(run.metadata.vectors.items())
    values = ", ".join(f"{name} {format_number(value)}" for name, value in latest[:4])
    shown = format_text(values) + (" …" if len(latest) > 4 else "")
    remarks = format_remarks(run)
    status = _badge(str(run.status)) + (f", {_safe(remarks)}" if remarks else "")
    took = format_duration(run.duration)
    return run.experiment, run.name, status, format_age(run.started_at), took, shown


def _badge(status: str) -> str:
    color = _COLORS.get(status, "#57606a")
    return f'<span style="color:{color};font-weight:600">{_safe(status)}</span>'


def _named(values: Mapping[str, object]) -> str:
    lines = [(name, format_number(value)) for name, value in list(values.items())[:MAX_VALUES]]
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
