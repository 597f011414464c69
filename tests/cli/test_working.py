"""export, import, clean, rm, recover, doctor, notebook: what they leave behind."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import time
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
import pytest
from cli.conftest import Expman, record
from conftest import StartProgram
from unit.reading.run_files import block, make_run

import expman
from expman.models import RunStatus

KILLED = """
import os, sys, signal
import expman
engine = expman.LoggingEngine(expman.ExperimentConfig("exp", sys.argv[1], run_name="r"))
for step in range(5):
    engine.log_vector({"x": step}, step)
os.kill(engine._durability.supervisor.pid(), signal.SIGKILL)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_export_csv(expman_command: Expman, store: Path) -> None:
    """CSV goes to standard output, with a head and empty cells for what was not logged."""
    result = expman_command("export", "aa", "-f", "csv", base_dir=store)

    lines = result.out.splitlines()
    assert 0 == result.code
    assert '"step","timestamp","train/loss","accuracy","phase"' == lines[0]
    assert re.fullmatch(r'0,"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}Z",1,,', lines[1])
    assert 44 == len(lines) - 1


def test_export_json_of_a_live_run(expman_command: Expman, store: Path) -> None:
    """JSON is one object per line; a live run's written rows are all there."""
    result = expman_command("export", "c-live", "-f", "json", "-c", "step", base_dir=store)

    rows = [json.loads(line) for line in result.out.splitlines()]
    assert (44, {"step": 0}) == (len(rows), rows[0])


def test_export_parquet(expman_command: Expman, store: Path, tmp_path: Path) -> None:
    """Parquet is the table of Run.vectors; steps can be merged."""
    command = ["export", "aa", "-f", "parquet", "--merge-steps", "-o", "out.parquet"]
    assert 0 == expman_command(*command, base_dir=store).code

    table = pq.read_table(tmp_path / "out.parquet")
    assert list(range(40)) == table["step"].to_pylist()
    assert 40 - 4 == table["accuracy"].null_count


@pytest.fixture
def old_runs(run_base: Path) -> Path:
    """Six runs that have ended, and one that says RUNNING."""
    for number in range(6):
        status = RunStatus.FAILED if number % 2 else RunStatus.FINISHED
        began = f"2026-01-0{number + 1}T00:00:00Z"
        make_run(run_base, f"r{number}", block(0, {"x": [1.0]}), status=status, started_at=began)
    make_run(run_base, "live", status=RunStatus.RUNNING, started_at="2025-01-01T00:00:00Z")
    return run_base


def names(base_dir: Path) -> set[str]:
    return {path.name for path in (base_dir / "exp").iterdir() if path.is_dir()}


def test_clean_is_a_dry_run(expman_command: Expman, old_runs: Path) -> None:
    """Without --force, clean only says what it would delete."""
    before = names(old_runs)

    result = expman_command("clean", "--keep", "4", base_dir=old_runs)

    assert 0 == result.code
    assert ["r1", "r0"] == [line.split("/")[-1] for line in result.out.splitlines()]
    assert before == names(old_runs)
    assert [False, False] == [
        line["deleted"] for line in json.loads(expman_command("clean", "-k4", "--json").out)
    ]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (["--keep", "2"], ["live", "r4", "r5"]),
        (["--keep", "0", "exp"], ["live"]),
        (["--keep", "0", "--status", "failed"], ["live", "r0", "r2", "r4"]),
        (["-k1", "--older-than", "2026-01-03T00:00:00+00:00"], ["live", "r2", "r3", "r4", "r5"]),
    ],
    ids=str,
)
def test_clean(expman_command: Expman, old_runs: Path, options: list[str], kept: list[str]) -> None:
    """The newest runs stay, and one that says RUNNING always does."""
    assert 0 == expman_command("clean", "--force", *options, base_dir=old_runs).code

    assert kept == sorted(names(old_runs))


def test_rm(expman_command: Expman, old_runs: Path) -> None:
    """A run is deleted whole; without a terminal only with --yes."""
    refused = expman_command("rm", "r0", base_dir=old_runs)
    assert (2, True) == (refused.code, "--yes" in refused.err)
    assert "r0" in names(old_runs)

    assert 0 == expman_command("rm", "--yes", "r0", "r1").code
    assert {"r2", "r3", "r4", "r5", "live"} == names(old_runs)
    assert [] == [path for path in (old_runs / "exp").iterdir() if path.name.startswith(".")]


def test_recover(program: StartProgram, run_base: Path) -> None:
    """A run whose processes were killed gets its rows and its status."""
    program(["-c", KILLED, str(run_base)]).wait()
    recover = ["-m", "expman.cli", "recover"]
    assert "would recover" in program([*recover, "-n", str(run_base)]).succeed()

    assert "recovered" in program([*recover, str(run_base)]).succeed()

    run = expman.Run(run_base / "exp" / "r")
    assert ("CRASHED", 5) == (run.status, run.vectors().num_rows)
    again = program([*recover, str(run_base)])
    again.succeed()
    assert "nothing to recover\n" == again.stderr


def test_recover_reports_what_it_cannot_do(
    expman_command: Expman, run_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was not recovered goes to stderr, whatever its text, and the exit code is 1."""
    from expman.writer import recover

    outcomes = [recover.Outcome("cannot happen, so all is well"), recover.Outcome("no", ok=False)]
    monkeypatch.setattr(recover, "recover", lambda _base_dir, **_options: iter(outcomes))

    result = expman_command("recover", run_base)

    assert (1, "cannot happen, so all is well\n", "no\n") == result
    outcomes.pop()
    assert (0, "cannot happen, so all is well\n", "") == expman_command("recover", run_base)


def test_doctor(program: StartProgram, expman_command: Expman, run_base: Path) -> None:
    """Doctor names versions, memory, the file system and leftovers, and records a trial run."""
    program(["-c", KILLED, str(run_base)]).wait()

    found = json.loads(expman_command("doctor", "--json", base_dir=run_base).out)

    by_subject = {one["subject"]: one for one in found}
    assert {"versions", "/dev/shm", str(run_base), "trial run"} <= by_subject.keys()
    assert "pyarrow" in by_subject["versions"]["detail"]
    assert "ok" == by_subject["trial run"]["level"]
    assert any(f"expman recover {run_base}" in one["advice"] for one in found)
    assert 0 == expman_command("recover").code
    assert f"expman recover {run_base}" not in expman_command("doctor", "--no-trial").out


def test_doctor_is_brief_about_many_runs(
    expman_command: Expman, run_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leftovers of the base directory are named; those of others are counted."""
    from expman.cli import doctor

    class DeadLane(NamedTuple):
        run_dir: str

        def producer_alive(self) -> bool:
            return False

    bases = [str(run_base), *(f"/elsewhere/{number}" for number in range(9))]
    lanes = [DeadLane(f"{base}/exp/r{number}") for base in bases for number in range(20)]
    monkeypatch.setattr(doctor, "all_lanes", lambda: iter(lanes))
    for number in range(30):
        make_run(run_base, f"lost{number:02}", status=RunStatus.RUNNING)

    found = json.loads(expman_command("doctor", "--no-trial", "--json", "-d", run_base).out)

    own, others = (one for one in found if one["subject"] == "shared memory")
    assert "20 runs left rows behind: the processes are gone" == own["detail"]
    assert f"expman recover {run_base}" == own["advice"]
    assert "180 runs of other base directories left rows behind" == others["detail"]
    assert "expman doctor --base-dir /elsewhere/0 (and 8 more)" == others["advice"]
    (status,) = (one for one in found if one["subject"] == "status")
    assert status["detail"].startswith("30 runs RUNNING, but not on this machine: exp/lost")
    assert status["detail"].endswith(" and 27 more")


def advice_of(expman_command: Expman, base: Path) -> list[list[str]]:
    """The `expman` commands that doctor recommends for a base directory, as arguments."""
    found = json.loads(expman_command("doctor", "--no-trial", "--json", "-d", base).out)
    texts = [line for one in found for line in one["advice"].splitlines()]
    commands = [text.rpartition("expman ")[2] for text in texts if "expman recover" in text]
    return [words for words in map(shlex.split, commands) if str(base) in words]


@pytest.mark.parametrize("case", ["rows", "nobody", "gone"])
def test_what_doctor_recommends_works(
    program: StartProgram, expman_command: Expman, tmp_path: Path, case: str
) -> None:
    """Rows left behind, a run that nobody runs, a base directory that is gone: one command each."""
    base = tmp_path / "my runs; $(x)"
    if case == "nobody":
        run_dir = make_run(base, "r", block(0, {"x": [1.0]}), status=RunStatus.RUNNING)
        for path in (run_dir, *run_dir.iterdir()):  # nothing has been written for an hour
            os.utime(path, (time.time() - 3600,) * 2)
    else:
        program(["-c", KILLED, str(base)]).wait()
    if case == "gone":
        shutil.rmtree(base)

    (command,) = advice_of(expman_command, base)
    program(["-m", "expman.cli", *command]).succeed()

    assert [] == advice_of(expman_command, base)
    assert case == "gone" or "CRASHED" == expman.Run(base / "exp" / "r").status


@pytest.mark.root
def test_doctor_finds_a_problem(program: StartProgram, tmp_path: Path) -> None:
    """A base directory that cannot be written is a problem, and the exit code says so."""
    (tmp_path / "file").touch()
    env = {"EXPMAN_BASE_DIR": "/proc/nothing", "TMPDIR": str(tmp_path)}

    doctor = program(["-m", "expman.cli", "doctor", "--no-trial"], env=env)

    assert 1 == doctor.wait()
    assert "cannot be written" in doctor.stdout


def test_notebook(expman_command: Expman, store: Path, tmp_path: Path) -> None:
    """The notebook runs from top to bottom on a live run and shows its rows and curves."""
    nbclient = pytest.importorskip("nbclient")
    import nbformat

    result = expman_command("notebook", "c-live", "-o", "look.ipynb", base_dir=store)

    assert 0 == result.code
    assert "jupyter lab --ServerApp.ip=127.0.0.1 look.ipynb" in result.out
    notebook = nbformat.read(tmp_path / "look.ipynb", as_version=4)
    nbformat.validate(notebook)
    where = {"metadata": {"path": tmp_path}}
    nbclient.NotebookClient(notebook, timeout=250, resources=where).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    html = " ".join(output.get("data", {}).get("text/html", "") for output in outputs)
    assert "RUNNING" in html
    assert "<svg" in html
    assert "accuracy" in html
    assert any("image/png" in output.get("data", {}) for output in outputs)


def test_notebook_replaces_nothing(expman_command: Expman, store: Path, tmp_path: Path) -> None:
    """A notebook that is there stays, unless --force is said."""
    (tmp_path / "aa-first.ipynb").write_text("mine")
    refused = expman_command("notebook", "aa", base_dir=store)
    assert (1, True) == (refused.code, "--force" in refused.err)
    assert "mine" == (tmp_path / "aa-first.ipynb").read_text()

    assert 0 == expman_command("notebook", "aa", "--force").code
    assert "cells" in json.loads((tmp_path / "aa-first.ipynb").read_text())


@pytest.mark.parametrize("part", ["click", "rich", "plotext"])
def test_without_the_extra(program: StartProgram, part: str) -> None:
    """Without the extra, a command that needs it says in one line what to install."""
    code = (
        "import sys; sys.modules[sys.argv.pop(1)] = None; from expman.cli import main; exit(main())"
    )

    command = program(["-c", code, part, "plot", "a-run"])

    assert 1 == command.wait()
    assert f" needs {part}, " in command.stderr
    assert "pip install 'expman-sidecar[cli]'\n" in command.stderr
    assert 1 == command.stderr.count("\n")


def test_scripts_are_installed() -> None:
    """`expman` and `exp` are one command."""
    from importlib.metadata import entry_points

    found = {entry.name: entry.value for entry in entry_points(group="console_scripts")}
    assert ("expman.cli:main",) * 2 == (found["expman"], found["exp"])


def test_runs_are_not_touched_by_looking(expman_command: Expman, store: Path) -> None:
    """No command that only looks writes into a run's directory."""
    run_dir = store / "digits" / "aa-first"
    before = {path: os.stat(path).st_mtime_ns for path in [run_dir, *run_dir.rglob("*")]}

    for command in (["ls"], ["show"], ["tail"], ["plot"], ["export", "-f", "csv"]):
        expman_command(*command, *([] if command == ["ls"] else ["aa"]), base_dir=store)

    assert before == {path: os.stat(path).st_mtime_ns for path in [run_dir, *run_dir.rglob("*")]}


def test_a_first_run_at_its_very_beginning(expman_command: Expman, run_base: Path) -> None:
    """A run can be looked at before its writer has written anything."""
    with record(run_base, "r", 0.1) as engine:
        assert 0 == expman_command("show", engine.run_dir).code
        assert 0 == expman_command("tail", engine.run_dir).code
        assert 0 == expman_command("ls", base_dir=run_base).code
