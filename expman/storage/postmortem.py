"""The report on a run that crashed, failed or hung: postmortem.json, and its text for people.

What is in it, `examine` finds out.
"""

from __future__ import annotations

import os
import re

import msgspec

from expman.errors import StorageError
from expman.metadata import RunMetadata
from expman.models import RunStatus
from expman.storage.paths import POST_MORTEM_JSON, POST_MORTEM_MD, of_attempt, read_regular
from expman.storage.times import parse_time, seconds_between

__all__ = [
    "Fact",
    "LastRow",
    "PostMortem",
    "describe",
    "earlier_attempts",
    "read_post_mortem",
    "thread_blocks",
]

_MOST_CHARACTERS = 300
_MOST_ATTEMPTS = 6
_OWN_THREADS = re.compile(r"[/\\]expman[/\\](launch|capture|notices)")


class Fact(msgspec.Struct, frozen=True):
    """Something that is known, and where from.

    Attributes:
        text: one sentence.
        source: the file, relative to the run's directory.
    """

    text: str
    source: str


class LastRow(msgspec.Struct, frozen=True):
    """The last row of a producer.

    Attributes:
        producer: its name.
        rows: how many it has logged, as its last row is numbered.
        step: the user's step.
        seconds_before_end: how long before the end of the run it was logged.
    """

    producer: str
    rows: int
    step: int | None
    seconds_before_end: float | None


class PostMortem(msgspec.Struct, frozen=True):
    """The content of postmortem.json.

    Attributes:
        status: CRASHED or FAILED; FINISHED for a run that hung and went on, or one of whose
            processes was killed.
        reason: why, in one line.
        ended_at: UTC, ISO 8601.
        facts: what is known, the most telling first.
        last_rows: the last row of each producer.
        nonfinite: the step of the first value of each metric that was NaN or infinite, if the last
            one is, too.
        traceback: of the Python exception that ended the run.
        fatal_traceback: of a fault such as SIGSEGV, by threads.
        machine: the last sample of the machine.
        console: the last lines that the program printed.
        log: the last lines of run.log.
        stacks: files with the stacks that were recorded.
        cause: why, in a few words, for the heading; "" if there are none for it.
        began_at, attempt, host: of the present attempt.
    """

    status: str
    reason: str | None
    ended_at: str | None
    facts: list[Fact]
    last_rows: list[LastRow]
    nonfinite: dict[str, int | None]
    traceback: str | None
    fatal_traceback: str | None
    machine: dict[str, float]
    console: list[str]
    log: list[str]
    stacks: list[str]
    cause: str = ""
    began_at: str | None = None
    attempt: int = 1
    host: str = ""


def read_post_mortem(run_dir: str, attempt: int | None = None) -> PostMortem | None:
    """Reads postmortem.json; None if there is none.

    Args:
        run_dir: the run's directory.
        attempt: number of an earlier attempt; None: the present one.

    Raises:
        StorageError: it is damaged or cannot be read.
    """
    path = os.path.join(run_dir, _name(POST_MORTEM_JSON, attempt))
    try:
        return msgspec.json.decode(read_regular(path, follow=True), type=PostMortem)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as exc:
        raise StorageError(path, str(exc)) from exc


def _name(name: str, attempt: int | None) -> str:
    return name if attempt is None else of_attempt(name, attempt)


def earlier_attempts(run_dir: str, meta: RunMetadata) -> list[str]:
    """A line about each earlier attempt that did not end well, the latest ones."""
    lines = []
    for number, one in enumerate(meta.earlier_attempts, 1):
        has_report = os.path.exists(os.path.join(run_dir, of_attempt(POST_MORTEM_JSON, number)))
        if one.status is RunStatus.FINISHED and not has_report:
            continue
        where = f" on {one.host}" if one.host else ""
        text = f"attempt {number}: {one.status} {_moment(one.finished_at)}{where}"
        text += f": {_short(one.reason)}" if one.reason else ""
        report = of_attempt(POST_MORTEM_MD, number)
        lines.append(f"{text} ({report}, or --attempt {number})" if has_report else text)
    left = len(lines) - _MOST_ATTEMPTS
    return lines if left <= 0 else [f"{left} more before", *lines[-_MOST_ATTEMPTS:]]


def thread_blocks(text: str) -> list[str]:
    """The threads in what faulthandler wrote, without those of expman itself."""
    blocks = re.split(r"\n(?=Thread 0x|Current thread 0x)", text)
    return [block.rstrip() for block in blocks if block.strip() and not _OWN_THREADS.search(block)]


def _short(text: str) -> str:
    text = text.replace("\n", " ")
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"


def _moment(text: str | None) -> str:
    moment = parse_time(text)
    return "at an unknown time" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _place(found: PostMortem) -> str:
    """When and where it was: one line."""
    is_live = found.ended_at is None
    parts = [f"began {_moment(found.began_at)}" if is_live else f"ended {_moment(found.ended_at)}"]
    took_s = seconds_between(found.began_at, found.ended_at)
    if took_s is not None:
        parts.append(f"after {_took(took_s)}")
    if found.host:
        parts.append(f"on {found.host}")
    if found.attempt > 1:
        parts.append(f"in attempt {found.attempt}")
    return " ".join(parts)


def _took(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours:,} h {minutes} min"
        if hours
        else f"{minutes} min {rest} s"
        if minutes
        else (f"{seconds:.1f} s")
    )


def describe(name: str, found: PostMortem, earlier: list[str] | None = None) -> str:
    """The text for people: at most about a screen.

    Args:
        name: of the run, with its experiment's.
        found: the report.
        earlier: lines about earlier attempts.
    """
    cause = f", {found.cause}" if found.cause else ""
    lines = [f"# {name}: {found.status}{cause}", "", _place(found), ""]
    lines += [f"- {_short(fact.text)} ({fact.source})" for fact in found.facts]
    if earlier:
        lines += ["", "## Earlier attempts", "", *(f"- {line}" for line in earlier)]
    if found.traceback:
        shown = map(_short, found.traceback.split("\n")[-12:])
        lines += ["", "## Exception", "", "```", *shown, "```"]
    if found.fatal_traceback:
        blocks = thread_blocks(found.fatal_traceback)
        fault = [block for block in blocks if "Current thread" in block]
        frames = "\n".join(fault).partition("\n\nExtension modules:")[0].split("\n")
        lines += ["", "## Fault", "", "```", *map(_short, frames[:12]), "```"]
    shown_stacks = {fact.source for fact in found.facts}
    if stacks := [path for path in found.stacks[-4:] if path not in shown_stacks]:
        lines += ["", "## Stacks", "", *(f"- {path}" for path in stacks)]
    printed = [line for line in found.console if not _is_of(line, found.traceback)]
    if printed:
        lines += ["", "## Printed last", "", "```", *map(_short, printed[-6:]), "```"]
    return "\n".join(lines) + "\n"


def _is_of(printed: str, traceback: str | None) -> bool:
    """Whether a printed line is part of the traceback, which is shown already."""
    return traceback is not None and printed.partition("] ")[2] in traceback.split("\n")
