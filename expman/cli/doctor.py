"""`expman doctor`: checks this machine and advises what to do."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version

import click
from rich.table import Table
from rich.text import Text

from expman.cli.doctor_recording import Finding, Level, recording_findings
from expman.cli.output import console, print_json
from expman.cli.runs import base_dir_option, count_runs
from expman.engine import LoggingEngine
from expman.errors import ExpmanError
from expman.models import ExperimentConfig, RunStatus
from expman.reading import find
from expman.reading.formats import format_size
from expman.reading.run import Run
from expman.transport.lane_view import all_lanes
from expman.transport.places import all_places
from expman.version import VERSION

__all__ = ["command"]

_STYLES: dict[Level, str] = {"ok": "green", "note": "yellow", "problem": "bold red"}
_LITTLE_SHM = 256 * 1024 * 1024
_LITTLE_DISK = 1024 * 1024 * 1024
_SHOWN = 3
_REMOTE = {"nfs", "nfs4", "lustre", "cifs", "smb3", "fuse.sshfs", "gpfs", "beegfs", "ceph", "9p"}


@click.command("doctor", short_help="Check this machine: memory, files, leftovers, versions.")
@click.option("--no-trial", is_flag=True, help="Do not record a small trial run.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@base_dir_option
def command(no_trial: bool, as_json: bool, base_dir: str) -> None:
    """Checks versions, memory, files, leftovers, and what can be recorded here.

    Exit code 1 if there is a problem.
    """
    findings = [
        *_versions(),
        *_shared_memory(),
        *_base_dir(base_dir),
        *_leftovers(base_dir),
        *recording_findings(),
        *(() if no_trial else _trial()),
    ]
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        table.add_column(overflow="fold")
        for finding in findings:
            text = Text(finding.detail)
            if finding.advice:
                text.append(f"\n→ {finding.advice}", "bold")
            level = Text(finding.level, _STYLES[finding.level])
            table.add_row(level, Text(finding.subject), text)
        console().print(table)
    if any(finding.level == "problem" for finding in findings):
        raise click.exceptions.Exit(1)


def _versions() -> Iterator[Finding]:
    found = []
    for name in ("pyarrow", "msgspec", "pyyaml"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            yield Finding("problem", name, "not installed", "pip install expman-sidecar")
    python = f"Python {platform.python_version()} ({platform.machine()})"
    yield Finding("ok", "versions", f"expman {VERSION}, {python}, {', '.join(found)}")
    if sys.platform != "linux":
        yield Finding("problem", "system", f"{sys.platform} is not supported", "use Linux")


def _shared_memory() -> Iterator[Finding]:
    fallback = all_places()[1]
    try:
        usage = shutil.disk_usage("/dev/shm")
    except OSError:
        yield Finding(
            "note",
            "/dev/shm",
            f"does not exist; rows wait in {fallback} instead",
            "mount a tmpfs at /dev/shm",
        )
        return
    detail = f"{format_size(usage.free)} free of {format_size(usage.total)}"
    if usage.free < _LITTLE_SHM:
        advice = (
            "docker run --shm-size=1g (Kubernetes: an emptyDir with medium Memory); without it, "
            f"rows wait in {fallback} when it is full"
        )
        yield Finding("note", "/dev/shm", detail, advice)
    else:
        yield Finding("ok", "/dev/shm", detail)
    if not os.access("/dev/shm", os.W_OK):
        yield Finding("note", "/dev/shm", "cannot be written", f"rows wait in {fallback} instead")


def _base_dir(base_dir: str) -> Iterator[Finding]:
    home = os.path.abspath(base_dir)
    while not os.path.isdir(home):
        home = os.path.dirname(home)
    kind = _filesystem(home)
    usage = shutil.disk_usage(home)
    detail = f"{kind}, {format_size(usage.free)} free"
    trouble = _write_trouble(home)
    if trouble is not None:
        advice = "choose another --base-dir, or have this one's owner let you write"
        yield Finding("problem", base_dir, f"{home} cannot be written: {trouble}", advice)
    elif usage.free < _LITTLE_DISK:
        advice = (
            f"make room: expman clean --force --base-dir {_quoted(base_dir)}; "
            "until then rows wait in shared memory"
        )
        yield Finding("note", base_dir, detail, advice)
    else:
        yield Finding("ok", base_dir, detail)
    if kind in _REMOTE:
        detail = f"{kind} is a network file system, where other machines see rows late"
        yield Finding("ok", base_dir, detail)


def _write_trouble(directory: str) -> str | None:
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        return exc.strerror or str(exc)
    return None


def _filesystem(path: str) -> str:
    """Returns the kind of file system that holds a directory."""
    real = os.path.realpath(path)
    best, kind = "", "unknown"
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                _, point, found = line.split(" ")[:3]
                point = point.replace("\\040", " ")
                inside = real == point or real.startswith(point.rstrip("/") + "/")
                if inside and len(point) >= len(best):
                    best, kind = point, found
    except OSError:
        return kind
    return kind


def _leftovers(base_dir: str) -> Iterator[Finding]:
    lanes = list(all_lanes())
    dead = [lane for lane in lanes if not lane.producer_alive()]
    if dead:
        bases = Counter(_base_of(run_dir) for run_dir in {lane.run_dir for lane in dead})
        own = [base for base in bases if os.path.realpath(base) == os.path.realpath(base_dir)]
        for base in own:
            left = f"{count_runs(bases[base])} left rows behind: the processes are gone"
            yield Finding("note", "shared memory", left, _how_to_recover(base))
        if others := sorted(bases.keys() - set(own), key=lambda base: (-bases[base], base)):
            left = f"{count_runs(sum(bases[base] for base in others))} of other base directories"
            advice = f"expman doctor --base-dir {_quoted(others[0])}"
            rest = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
            yield Finding("note", "shared memory", f"{left} left rows behind", advice + rest)
    if len(lanes) > len(dead) or not dead:
        yield Finding("ok", "shared memory", _how_many_log(len(lanes) - len(dead)))
    try:
        running = find.runs(base_dir, status=RunStatus.RUNNING)
    except ExpmanError:
        return
    here = {os.path.realpath(lane.run_dir) for lane in lanes}
    lost = [run for run in running if os.path.realpath(run.path) not in here]
    if lost:
        names = _some([f"{run.experiment}/{run.name}" for run in lost])
        yield Finding(
            "note",
            "status",
            f"{count_runs(len(lost))} RUNNING, but not on this machine: {names}",
            f"if they run nowhere: expman recover --any-host {_quoted(base_dir)}",
        )
    if running.unreadable:
        path, error = running.unreadable[0]
        detail = f"{count_runs(len(running.unreadable))} cannot be read, such as {path}: {error}"
        advice = "restore these files from a backup, or delete the runs' directories"
        yield Finding("note", "runs", " ".join(detail.split()), advice)


def _base_of(run_dir: str) -> str:
    return os.path.dirname(os.path.dirname(run_dir))


def _how_many_log(count: int) -> str:
    return "one process of yours is logging" if count == 1 else f"{count} of your processes log"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _how_to_recover(base_dir: str) -> str:
    where = _quoted(base_dir)
    if os.path.isdir(base_dir):
        return f"expman recover {where}"
    return (
        f"{base_dir} is gone: mkdir -p {where} && expman recover {where}, "
        f"or give up the rows: expman recover --discard {where}"
    )


def _quoted(path: str) -> str:
    """Returns the path as an argument for a shell: quoted, and never like an option."""
    return shlex.quote(os.path.join(".", path) if path.startswith("-") else path)


def _trial() -> Iterator[Finding]:
    """Records a small run in a temporary directory and reads it back."""
    rows = 100
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="expman-doctor-") as home:
        try:
            config = ExperimentConfig("doctor", home)
            with LoggingEngine(config) as engine:
                for step in range(rows):
                    engine.log_vector({"x": float(step)}, step)
                engine.flush(timeout_s=30)
            run = Run(engine.run_dir)
            found, status = run.vectors(["x"]).num_rows, run.status
        except (ExpmanError, OSError) as exc:
            advice = "fix what the message names, then try: expman-writer --help"
            yield Finding("problem", "trial run", " ".join(str(exc).split()), advice)
            return
    if (found, status) != (rows, RunStatus.FINISHED):
        yield Finding("problem", "trial run", f"{found} of {rows} rows, {status}", "report this")
        return
    took = time.monotonic() - started
    yield Finding("ok", "trial run", f"{rows} rows logged, written and read in {took:.1f} s")
