"""Names and texts are shown as they are, whatever they hold and whatever the terminal takes."""

from __future__ import annotations

import io
import json
import math
import os
import re
import sys
import unicodedata
from pathlib import Path

import pytest
from cli.conftest import Expman
from conftest import PROGRAMS, StartProgram
from unit.reading.run_files import block, make_run

import expman
from expman.metadata import RunMetadata
from expman.models import RunStatus
from expman.storage.yamlfile import RunFile

ESCAPES = "\x1b]0;title\x07\x1b[31m\x9b31m\u202e\u2066\u200b\x7f\r\n\t"
NASTY = ("loss[/a]", "[red]x", ":smile:", "$x_1^$", "a" + ESCAPES + "b", "__proto__", "größe 😀")
COMMANDS = (
    *(["ls"], ["ls", "-e"], ["show", "e/r"], ["tail", "e/r"], ["compare", "e/r", "e/s"]),
    *(["compare", "e/r", "e/s", "-m", NASTY[0], "-m", NASTY[4]], ["plot", "e/r"]),
    *(["plot", "e/r", "-o", "p.png"], ["compare", "e/r", "e/s", "-o", "c.png"]),
    *(["show", "--json", "e/r"], ["ls", "--json"], ["tail", "--json", "e/r"]),
    *(["clean", "-k", "0"], ["clean", "-k", "0", "--json"], ["show", "e/" + ESCAPES]),
    ["doctor", "--no-trial"],
)


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs whose names of metrics, parameters, tags and artifacts, and their texts, are nasty.

    Made once, because no test changes them.
    """
    run_base = tmp_path_factory.mktemp("nasty") / "experiments"
    for run, lr in (("r", 0.1), ("s", 0.2), ("t" + ESCAPES, 0.3)):
        numbers = {name: [1.0, 2.0 + lr] for name in NASTY}
        texts = {f"text {name}": [name, name] for name in NASTY}
        params: dict[str, object] = dict.fromkeys(NASTY, lr)
        rows = block(0, numbers | texts)
        run_dir = make_run(run_base, run, rows, experiment="e", params=params)
        meta = RunMetadata(name=run, experiment="e", status=RunStatus.FAILED, tags=list(NASTY))
        meta.reason = meta.description = meta.group = " ".join(NASTY)
        meta.scalars = {name: name for name in NASTY}
        meta.vectors = dict.fromkeys(NASTY, 2.0) | {f"text {name}": name for name in NASTY}
        RunFile(str(run_dir)).write(meta)
        (run_dir / "run.log").write_text(f"[2026-01-31T12:00:00.000Z] [INFO] raw {ESCAPES}\n")
        (run_dir / "artifacts").mkdir()
        (run_dir / "artifacts" / NASTY[4].replace("/", "")).touch()
    return run_base


def unsafe(text: str) -> set[str]:
    """Controls and directions in a text, but for the ends of lines."""
    turning = {"\u200b", "\u200e", "\u200f", "\u202e", "\u2066"}
    return {c for c in text if unicodedata.category(c) == "Cc" or c in turning} - {"\n"}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_text_drives_the_terminal(
    expman_command: Expman, nasty: Path, command: list[str]
) -> None:
    """Whatever a run holds, output and remarks have no control character of it."""
    result = expman_command(*command, base_dir=nasty)

    assert result.code == (2 if command[1:] == ["e/" + ESCAPES] else 0), result.err
    assert set() == unsafe(result.out + result.err)


def test_names_and_texts_are_whole(
    expman_command: Expman, nasty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Brackets are no markup, colons no emoji; what is unsafe has an escape in its place."""
    monkeypatch.setenv("COLUMNS", "400")
    escaped = r"a\x1b]0;title\x07\x1b[31m\x9b31m\u202e\u2066\u200b\x7f"
    from expman.cli.output import console

    console.cache_clear()
    try:
        for command in (["show", "e/r"], ["compare", "e/r", "e/s"]):
            out = expman_command(*command, base_dir=nasty).out
            for name in (*NASTY[:4], *NASTY[5:], escaped):
                assert name in out, command
        assert escaped[1:-4] in expman_command("ls", base_dir=nasty).out
    finally:
        console.cache_clear()


def test_json_is_exact(expman_command: Expman, nasty: Path) -> None:
    """JSON has escapes of its own: every text comes back as it was."""
    shown = json.loads(expman_command("show", "--json", "e/r", base_dir=nasty).out)

    assert dict.fromkeys(NASTY, 0.1) == shown["config"]
    assert {name: name for name in NASTY} == shown["scalars"]
    assert list(NASTY) == shown["tags"]
    (line, *_) = expman_command("tail", "--json", "--no-log", "e/r").out.splitlines()
    assert {f"text {name}": name for name in NASTY}.items() <= json.loads(line)["values"].items()


def test_views_of_rich_and_notebooks(nasty: Path) -> None:
    """`rich.print(run)` and HTML treat texts in the same way, with anybody's console."""
    console = pytest.importorskip("rich.console").Console(file=io.StringIO(), width=300)
    run = expman.Run(nasty / "e" / "r")
    console.print(run, expman.runs(nasty))
    html = run._repr_html_() + expman.runs(nasty)._repr_html_()

    shown = console.file.getvalue()
    assert set() == unsafe(shown) | unsafe(html)
    assert all(name in shown for name in NASTY[:4])
    assert "loss[/a]" in html


@pytest.mark.parametrize("command", COMMANDS[:7], ids=" ".join)
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_any_encoding(
    monkeypatch: pytest.MonkeyPatch, nasty: Path, command: list[str], encoding: str
) -> None:
    """Where standard output is no UTF-8, what it cannot show has something else in its place."""
    from expman.cli.commands import run

    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    monkeypatch.setattr(sys, "stdout", out)

    assert 0 == run([*command, "-d", str(nasty)])

    assert command[0] == "plot" or "e" in out.buffer.getvalue().decode(encoding)


def test_the_c_locale(program: StartProgram, run_base: Path) -> None:
    """Under cron, names of files that are no ASCII are still found and shown."""
    make_run(run_base, "größe", block(0, {"x": [1.0]}), experiment="e")
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TERM": "dumb"}

    shown = program(["-m", "expman.cli", "show", "e/größe", "-d", str(run_base)], env=env)

    assert "FINISHED" in shown.succeed()


def test_json_in_ascii(program: StartProgram, nasty: Path) -> None:
    """JSON stays JSON where standard output is ASCII."""
    env = {"PYTHONIOENCODING": "ascii:strict", "EXPMAN_BASE_DIR": str(nasty)}

    shown = json.loads(program(["-m", "expman.cli", "show", "--json", "e/r"], env=env).succeed())

    assert list(NASTY) == shown["tags"]


@pytest.mark.parametrize(
    ("command", "streams"),
    [
        (["show", "e/r"], ">&- 2>&- <&-"),
        (["show", "e/r"], ">/dev/full"),
        (["export", "-f", "csv", "e/r"], ">&-"),
    ],
)
def test_closed_and_full_output(
    program: StartProgram, nasty: Path, command: list[str], streams: str
) -> None:
    """No traceback without standard streams; a full disk is an error, with its reason."""
    shell = 'p=$0; "$p" -m expman.cli "$@" ' + streams

    done = program(["-c", RUN_SHELL, shell, *command], env={"EXPMAN_BASE_DIR": str(nasty)})

    full = streams == ">/dev/full"
    assert (1 if full or command[0] == "export" else 0) == done.wait()
    assert "Traceback" not in done.stderr
    assert not full or "No space left" in done.stderr
    assert {"e"} == set(os.listdir(nasty))


RUN_SHELL = """
import subprocess, sys
sys.exit(subprocess.call(["sh", "-c", sys.argv[1], sys.executable, *sys.argv[2:]]))
"""


@pytest.mark.parametrize("width", [30, 50, 80, 120])
@pytest.mark.parametrize("length", [8, 40, 200])
def test_ls_shows_every_name_whole(
    expman_command: Expman,
    run_base: Path,
    monkeypatch: pytest.MonkeyPatch,
    width: int,
    length: int,
) -> None:
    """Names are folded where they are longer than a line, never cut or left out."""
    from expman.cli.output import console

    names = ["n" * (length - 1) + str(number) for number in range(3)]
    for name in names:
        latest = {f"metric/{number}": 0.123456 * number for number in range(4)}
        RunFile(str(made(run_base / "e" / name))).write(
            RunMetadata(name=name, experiment="e", status=RunStatus.FINISHED, vectors=latest)
        )
    monkeypatch.setenv("COLUMNS", str(width))
    console.cache_clear()
    try:
        out = expman_command("ls", base_dir=run_base).out
    finally:
        console.cache_clear()

    assert max(map(len, out.splitlines())) <= width
    lines = out.splitlines()[out.startswith("experiment") :]
    shown = "".join(line.removesuffix("  FINISHED").strip() for line in lines)
    assert sorted(names) == sorted(re.findall(r"n+[0-2]", re.sub(" |e/", "", shown)))
    assert length > width or all(name in out for name in names)


def made(directory: Path) -> Path:
    directory.mkdir(parents=True)
    return directory


@pytest.mark.parametrize("width", [40, 80, 200])
def test_show_is_short_and_harmless(
    expman_command: Expman, run_base: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """Very many values, artifacts and lines of output are counted; what is folded is indented."""
    from expman.cli.output import console

    evil = "\x1b[2J\x1b]0;x\x07\u202e" * 1000
    params = {f"p{number}": number for number in range(500)} | {"evil": evil, "__proto__": "x"}
    run_dir = make_run(run_base, "r", block(0, {"x": [1.0]}), params={evil[:60]: 1, **params})
    for number in range(50):
        made(run_dir / "artifacts" / "a" / f"{number:02d}") / "model.bin"
        (run_dir / "artifacts" / "a" / f"{number:02d}" / ("m" * 60)).write_bytes(b"x")
    line = f"[2026-01-31T12:00:00.000Z] [main] [out] {'y' * 5000}\n"
    (run_dir / "console.log").write_text(line * 10)
    monkeypatch.setenv("COLUMNS", str(width))
    console.cache_clear()
    try:
        out = expman_command("show", "r", base_dir=run_base).out
    finally:
        console.cache_clear()

    assert max(map(len, out.splitlines())) <= width
    assert len(out.splitlines()) < 300
    assert not re.search("[\x1b\x07\u202e]", out)
    whole = " ".join(out.split())
    assert "… and 443 more; all of them with --json" in whole
    assert "… and 30 more; all of them with --json" in whole
    artifacts = out[out.index("artifacts\n  ") :]
    assert all(line.startswith("  ") for line in artifacts.splitlines()[1:20])


def test_large_values_are_cut(expman_command: Expman, run_base: Path) -> None:
    """A text of 1 MB, as value or as name, takes a few lines, with a mark."""
    big = "x" * 1_000_000
    run_dir = make_run(run_base, "r", block(0, {"t": [big], big: [1.0]}), params={"p": [big]})
    meta = RunMetadata(name="r", experiment="exp", status=RunStatus.FINISHED, description=big)
    meta.vectors, meta.scalars = {"t": big, big: 1.0}, {"s": big, big: big}
    RunFile(str(run_dir)).write(meta)

    for command in (["ls"], ["show", "r"], ["tail", "r"], ["plot", "r", "-o", "p.png"]):
        result = expman_command(*command, base_dir=run_base)
        assert 0 == result.code
        assert len(result.out) < 20_000, command
    assert "(1,000,000 characters)" in expman_command("show", "r").out


def test_nan_is_seen(expman_command: Expman, run_base: Path) -> None:
    """NaN is not as if nothing was logged: not in a value, a curve, a row or CSV."""
    rows = {"x": [1.0, math.nan, 2.0], "all": [math.nan] * 3, "inf": [math.inf, 1.0, -math.inf]}
    run_dir = make_run(run_base, "r", block(0, rows), block(3, {"y": [1.0]}))
    meta = RunMetadata(name="r", experiment="exp", status=RunStatus.FINISHED)
    meta.vectors = {"x": 2.0, "all": math.nan, "inf": -math.inf}
    RunFile(str(run_dir)).write(meta)
    make_run(run_base, "s", block(0, {"y": [1.0]}))

    assert "all nan" in expman_command("ls", base_dir=run_base).out
    shown = expman_command("show", "r").out
    assert re.search(r"all +nan +3 NaN or infinite", shown)
    assert re.search(r"x +2 +▁█ 1 NaN or infinite", shown)
    assert re.search(r"all +nan +–", expman_command("compare", "r", "s").out)
    assert "x=nan  all=nan  inf=1" in expman_command("tail", "r").out
    plotted = expman_command("plot", "r")
    assert "x (1 NaN or infinite: x)" in plotted.out
    assert "all has no finite number" in plotted.err
    csv = expman_command("export", "r", "-f", "csv").out.splitlines()
    assert [",1,nan,inf,", ",2,nan,-inf,", ",,,,1"] == [
        re.sub(r'^[^Z]*Z"', "", line) for line in (csv[1], csv[3], csv[4])
    ]
    exported = expman_command("export", "r", "-f", "json").out
    lines = [json.loads(line) for line in exported.splitlines()]
    assert [{"x": None, "all": None, "inf": 1.0}, {"y": 1.0}] == [
        {key: line[key] for key in line if key not in ("step", "timestamp")} for line in lines[1::2]
    ]


@pytest.mark.root
def test_without_time_zones(program: StartProgram, run_base: Path) -> None:
    """Slim containers have no time-zone database: commands, exports and frames work."""
    for module in ("pandas", "polars", "tensorboardX"):
        pytest.importorskip(module)
    run_dir = make_run(run_base, "r", block(0, {"x": [1.0, 2.0]}))
    shell = 'mount -t tmpfs none /usr/share/zoneinfo && exec "$@"'
    reader = [sys.executable, str(PROGRAMS / "read_without_zones.py"), run_base, run_dir]

    program(["--mount", "sh", "-c", shell, "sh"], *reader, python="unshare").succeed()
