"""`expman doctor`: what would go wrong here, and what to do about it."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Literal, NamedTuple

import click
from rich.table import Table
from rich.text import Text

from expman.cli.output import VERSION, console, print_json
from expman.cli.runs import base_dir_option
from expman.engine import LoggingEngine
from expman.errors import ExpmanError
from expman.models import ExperimentConfig, RunStatus
from expman.reading import find
from expman.reading.peek import lanes_of
from expman.reading.run import Run
from expman.transport.lane_view import all_lanes
from expman.transport.places import all_places

__all__ = ["command"]

Level = Literal["ok", "note", "problem"]
_STYLES: dict[Level, str] = {"ok": "green", "note": "yellow", "problem": "bold red"}
_LITTLE_SHM = 256 * 1024 * 1024
_LITTLE_DISK = 1024 * 1024 * 1024
_REMOTE = {"nfs", "nfs4", "lustre", "cifs", "smb3", "fuse.sshfs", "gpfs", "beegfs", "ceph", "9p"}


class _Finding(NamedTuple):
    """One thing that was looked at."""

    level: Level
    subject: str
    detail: str
    advice: str = ""


@click.command("doctor", short_help="Check this machine: memory, files, leftovers, versions.")
@click.option("--no-trial", is_flag=True, help="Do not record a small run for a trial.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@base_dir_option
def command(no_trial: bool, as_json: bool, base_dir: str) -> None:
    """Says what would go wrong here, and what to do. Exit code 1 if there is a problem."""
    findings = [
        *_versions(),
        *_shared_memory(),
        *_base_dir(base_dir),
        *_leftovers(base_dir),
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
            said = Text(finding.detail)
            if finding.advice:
                said.append(f"\n→ {finding.advice}", "bold")
            level = Text(finding.level, _STYLES[finding.level])
            table.add_row(level, Text(finding.subject), said)
        console().print(table)
    if any(finding.level == "problem" for finding in findings):
        raise click.exceptions.Exit(1)


def _versions() -> Iterator[_Finding]:
    found = []
    for name in ("pyarrow", "msgspec", "pyyaml"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            yield _Finding("problem", name, "not installed", "pip install expman-sidecar")
    python = f"Python {platform.python_version()} ({platform.machine()})"
    yield _Finding("ok", "versions", f"expman {VERSION}, {python}, {', '.join(found)}")
    if sys.platform != "linux":
        yield _Finding("problem", "system", f"{sys.platform} is not supported", "use Linux")


def _shared_memory() -> Iterator[_Finding]:
    fallback = all_places()[1]
    try:
        usage = shutil.disk_usage("/dev/shm")
    except OSError:
        yield _Finding(
            "note",
            "/dev/shm",
            f"is not there; rows wait in {fallback} instead",
            "mount a tmpfs at /dev/shm",
        )
        return
    detail = f"{_size(usage.free)} free of {_size(usage.total)}"
    if usage.free < _LITTLE_SHM:
        advice = (
            "docker run --shm-size=1g (Kubernetes: an emptyDir with medium Memory); without it, "
            f"rows wait in {fallback} when it is full"
        )
        yield _Finding("note", "/dev/shm", detail, advice)
    else:
        yield _Finding("ok", "/dev/shm", detail)
    if not os.access("/dev/shm", os.W_OK):
        yield _Finding("note", "/dev/shm", "cannot be written", f"rows wait in {fallback} instead")


def _base_dir(base_dir: str) -> Iterator[_Finding]:
    home = os.path.abspath(base_dir)
    while not os.path.isdir(home):
        home = os.path.dirname(home)
    kind = _filesystem(home)
    usage = shutil.disk_usage(home)
    detail = f"{kind}, {_size(usage.free)} free"
    trouble = _write_trouble(home)
    if trouble is not None:
        advice = "choose another --base-dir, or have this one's owner let you write"
        yield _Finding("problem", base_dir, f"{home} cannot be written: {trouble}", advice)
    elif usage.free < _LITTLE_DISK:
        advice = (
            f"make room: expman clean --force --base-dir {_quoted(base_dir)}; "
            "until then rows wait in shared memory"
        )
        yield _Finding("note", base_dir, detail, advice)
    else:
        yield _Finding("ok", base_dir, detail)
    if kind in _REMOTE:
        told = "files are only appended to and renamed, so this works; other machines see them late"
        yield _Finding("ok", base_dir, f"{kind} is a network file system: {told}")


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
    """The kind of file system of a directory, as the system mounted it."""
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


def _leftovers(base_dir: str) -> Iterator[_Finding]:
    dead, alive = [], 0
    for lane in all_lanes():
        if lane.producer_alive():
            alive += 1
        else:
            dead.append(lane)
    if dead:
        bases = sorted({lane.control.hello.base_dir for lane in dead})
        runs = len({lane.run_dir for lane in dead})
        yield _Finding(
            "note",
            "shared memory",
            f"{runs} runs left rows behind: their processes are gone",
            "\n→ ".join(map(_how_to_recover, bases)),
        )
    if alive or not dead:
        yield _Finding("ok", "shared memory", f"{alive} processes of yours are logging")
    try:
        running = find.runs(base_dir, status=RunStatus.RUNNING)
    except ExpmanError:
        return
    lost = [run for run in running if not lanes_of(run.path)]
    if lost:
        names = ", ".join(f"{run.experiment}/{run.name}" for run in lost[:5])
        more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
        yield _Finding(
            "note",
            "status",
            f"RUNNING, but not on this machine: {names}{more}",
            f"if they run nowhere: expman recover --any-host {_quoted(base_dir)}",
        )
    if running.unreadable:
        path, error = running.unreadable[0]
        detail = f"{len(running.unreadable)} runs cannot be read, such as {path}: {error}"
        yield _Finding("note", "runs", " ".join(detail.split()), "look at these files")


def _how_to_recover(base_dir: str) -> str:
    where = _quoted(base_dir)
    if os.path.isdir(base_dir):
        return f"expman recover {where}"
    return (
        f"{base_dir} is gone: mkdir -p {where} and expman recover {where}, "
        f"or give the rows up: expman recover --discard {where}"
    )


def _quoted(path: str) -> str:
    """The path as an argument for a shell: quoted, and never like an option."""
    return shlex.quote(os.path.join(".", path) if path.startswith("-") else path)


def _trial() -> Iterator[_Finding]:
    """Records a small run somewhere else, with all that belongs to it."""
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
            advice = "the message says what is missing; try: expman-writer --help"
            yield _Finding("problem", "trial run", " ".join(str(exc).split()), advice)
            return
    if (found, status) != (rows, RunStatus.FINISHED):
        yield _Finding("problem", "trial run", f"{found} of {rows} rows, {status}", "report this")
        return
    took = time.monotonic() - started
    yield _Finding("ok", "trial run", f"{rows} rows logged, written and read in {took:.1f} s")


def _size(count: int) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count //= 1000
    return f"{count} TB"
