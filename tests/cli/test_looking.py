"""ls, show, tail, plot, compare: what they say about finished and live runs."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from cli.conftest import Expman, record
from conftest import StartProgram
from unit.reading.run_files import block, make_run

from expman import ExperimentConfig, LoggingEngine
from expman.metadata import MetricBest, RunMetadata
from expman.storage.yamlfile import RunFile

PNG = b"\x89PNG\r\n\x1a\n"


def test_ls(expman_command: Expman, store: Path) -> None:
    """Runs are listed newest first with what matters of them."""
    result = expman_command("ls", base_dir=store)

    assert 0 == result.code
    lines = result.out.splitlines()
    names = [line.split()[1] for line in lines[1:]]
    assert ["c-live", "b-failed", "ab-second", "aa-first"] == names
    assert "RUNNING" in lines[1]
    assert "accuracy 0.975" in lines[3]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["digits"], 4),
        (["digits", "--group", "other"], 0),
        (["--status", "failed", "-s", "RUNNING"], 2),
        (["--tags", "baseline AND (x OR baseline)"], 4),
        (["--since", "1h"], 4),
        (["--limit", "3"], 3),
    ],
)
def test_ls_json(expman_command: Expman, store: Path, filters: list[str], expected: int) -> None:
    """Filters choose runs; JSON has every fact of a run."""
    result = expman_command("ls", "--json", *filters, base_dir=store)

    runs = json.loads(result.out)
    assert (0, expected) == (result.code, len(runs))
    for run in runs:
        assert {"path", "status", "latest", "scalars", "duration_s"} <= run.keys()
        assert Path(run["path"], "run.yaml").exists()


def test_ls_sorts_and_shows_columns(expman_command: Expman, store: Path) -> None:
    """Runs come in the order of a column, the best one first; the columns stand in the list."""
    columns = ["-c", "train/loss:min", "-c", "train/loss:min_step", "-c", "params.lr"]
    found = expman_command("ls", "--sort", "train/loss:min", *columns, base_dir=store)

    head, *lines = [line.split() for line in found.out.splitlines()]
    assert ["train/loss:min", "train/loss:min_step", "params.lr"] == head[-3:]
    assert ["c-live", "ab-second", "aa-first", "b-failed"] == [line[1] for line in lines]
    assert [["39", "0.4"], ["39", "0.2"], ["39", "0.1"], ["0", "0.3"]] == [
        line[-2:] for line in lines
    ]
    command = ["ls", "--json", "--sort", "params.lr", "-r", *columns]
    runs = json.loads(expman_command(*command).out)
    assert [0.4, 0.3, 0.2, 0.1] == [run["columns"]["params.lr"] for run in runs]


def test_ls_shows_the_column_that_it_sorts_by(expman_command: Expman, run_base: Path) -> None:
    """Once, unless every list has it; runs without a value come last in both directions."""
    for name, seconds in (("a", 1.0), ("b", 2.0), ("c", None)):
        numbers = {} if seconds is None else {"x": MetricBest(min=seconds)}
        make_run(run_base, name, vectors={"x": 0.0}, best=numbers)

    for flags, names in (([], "a b c"), (["-r"], "b a c")):
        result = expman_command("ls", "--sort", "x:min", *flags, base_dir=run_base)
        head, *lines = [line.split() for line in result.out.splitlines()]
        assert "x:min" == head[-1]
        assert names.split() == [line[1] for line in lines]
    shown = expman_command("ls", "--sort", "x:min", "-c", "x:min", base_dir=run_base).out
    assert 1 == shown.count("x:min")
    assert "latest" in expman_command("ls", "--sort", "run", base_dir=run_base).out


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_ls_keeps_names_beside_many_columns(
    expman_command: Expman, run_base: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """Thirty runs with four metrics: names are whole, values that differ differ, nothing is cut."""
    from expman.cli.output import console

    names = [f"20260131_1200{number:02d}-a-long-name" for number in range(30)]
    metrics = ["train/loss", "train/accuracy", "validation/loss", "validation/accuracy"]
    for number, name in enumerate(names):
        numbers = MetricBest(min=0.1234, last=round(0.12341 + number / 1e6, 6))
        make_run(run_base, name, best=dict.fromkeys(metrics, numbers), params={"lr": 0.1})
    monkeypatch.setenv("COLUMNS", str(width))
    console.cache_clear()
    try:
        columns = ",".join(f"{key}:last" for key in metrics)
        out = expman_command("ls", "--columns", columns, base_dir=run_base).out
    finally:
        console.cache_clear()

    assert [] == [name for name in names if name not in out]
    values = {str(round(0.12341 + number / 1e6, 6)) for number in range(30)}
    assert values == set(re.findall(r"\b0\.\d+", out))
    assert max(map(len, out.splitlines())) <= width


def test_ls_where(expman_command: Expman, store: Path) -> None:
    """A filter chooses runs; columns have plain names."""
    found = expman_command(
        *("ls", "--where", "lr >= 0.2 and status != failed", "--columns", "lr, accuracy"),
        base_dir=store,
    )
    assert [["c-live", "0.4"], ["ab-second", "0.2"]] == [
        [line.split()[1], line.split()[-2]] for line in found.out.splitlines()[1:]
    ]
    assert "took" in expman_command("ls", "--sort", "took", base_dir=store).out.splitlines()[0]


def test_ls_experiments(expman_command: Expman, store: Path) -> None:
    """Experiments are listed with the number of their runs."""
    (line,) = json.loads(expman_command("ls", "-e", "--json", base_dir=store).out)

    assert ("digits", 4, 1) == (line["experiment"], line["runs"], line["status"]["RUNNING"])
    assert "digits" in expman_command("ls", "--experiments").out


def test_ls_reports_what_it_cannot_read(expman_command: Expman, run_base: Path) -> None:
    """A damaged run is named beside the list, which is printed all the same."""
    for name in ("good", "bad"):
        (run_base / "e" / name).mkdir(parents=True)
        RunFile(str(run_base / "e" / name)).write(RunMetadata(name=name, experiment="e"))
    (run_base / "e" / "bad" / "run.yaml").write_text("status: DONE\n")

    result = expman_command("ls", base_dir=run_base)

    assert (0, True) == (result.code, "good" in result.out)
    assert "'DONE' is not known" in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ls", "--since", "soon"], "--since soon: must be an age"),
        (["ls", "--tags", "NOT a"], "--tags NOT a: there is no NOT"),
        (["ls", "--sort", "train/los:min"], "did you mean 'train/loss:min'?"),
        (["ls", "--sort", "los"], "--sort los: no run has a parameter, scalar or metric 'los'"),
        (["ls", "-c", "los"], "--column los: no run has a parameter, scalar or metric 'los'"),
        (["ls", "--columns", "lr,sede"], "'sede'; did you mean 'seed'?"),
        (["ls", "--where", "lrr < 1"], "'lrr'; did you mean 'lr'? lrr < 1 ^^^"),
        (["ls", "--where", "lr <"], "expected a value, at the end"),
        (["export", "aa", "-f", "csv", "-c", "x"], "--column x: run"),
        (["show", "digits"], "'digits' is an experiment, and the command needs a run"),
        (["show", "zzz"], "is called 'zzz'; list runs with: expman ls"),
        (["show", "ab-sekond"], "is called 'ab-sekond'; did you mean 'ab-second'?"),
        (["show", "digit/latest"], "cannot find 'digit/latest': no experiment 'digit' in"),
        (["clean", "digit"], "; did you mean 'digits'?"),
        (["rm", "aa-first"], "cannot ask without a terminal; confirm with --yes"),
        (
            ["show", "a"],
            "'a' is not unique: digits/ab-second, digits/aa-first; give more of the name",
        ),
        (["plot", "aa", "lsos"], "METRIC lsos: run"),
        (["plot", "aa", "lsos"], "has no column 'lsos'; did you mean 'train/loss'?"),
        (["plot", "aa", "phase"], "no numbers to plot"),
        (["compare", "aa"], "compare needs at least two runs"),
        (["tail"], "Missing argument"),
        (["export", "aa", "-f", "parquet"], "needs --output"),
        (["export", "aa", "-f", "csv", "-o", "/dev/null/x"], "cannot write /dev/null/x: Not a dir"),
        (["frobnicate"], "No such command 'frobnicate'; commands: ui, report, ls,"),
        (["compre"], "No such command 'compre'; did you mean 'compare'?"),
    ],
    ids=str,
)
def test_mistakes(expman_command: Expman, store: Path, arguments: list[str], message: str) -> None:
    """A mistake ends with a code other than 0 and a message that names it, on stderr."""
    result = expman_command(*arguments, base_dir=store)

    assert result.code in (1, 2)
    assert message in " ".join(result.err.split())
    assert "Traceback" not in result.err
    assert "" == result.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["svc-grid", "-s", "failed"], "no run in experiment 'svc-grid' in {base} matches"),
        (["-g", "none"], "no run in {base} matches these filters\n"),
        (["empty"], "no runs in experiment 'empty' in {base}"),
    ],
    ids=str,
)
def test_ls_says_why_it_is_empty(
    expman_command: Expman, run_base: Path, arguments: list[str], message: str
) -> None:
    """Filters that nothing matches and an empty experiment differ; neither is an error."""
    make_run(run_base, "r", experiment="svc-grid")
    (run_base / "empty").mkdir()

    result = expman_command("ls", *arguments, base_dir=run_base)

    assert (0, "") == (result.code, result.out)
    assert message.format(base=run_base) in result.err


def test_no_base_directory(expman_command: Expman) -> None:
    """Without any runs the message says where it looked."""
    result = expman_command("ls")

    assert (1, True) == (result.code, "experiments: no such directory; set base_dir" in result.err)


@pytest.mark.parametrize("name", ["aa-first", "aa", "digits/aa", "PATH"])
def test_show(expman_command: Expman, store: Path, name: str) -> None:
    """A run is found by name, by beginning, with its experiment and by path; all of it is shown."""
    run = str(store / "digits" / "aa-first") if name == "PATH" else name

    result = expman_command("show", run, base_dir=store)

    assert 0 == result.code
    for text in ("digits/aa-first", "FINISHED", "model.layers", "[8, 8]", "best", "model.bin"):
        assert text in result.out
    assert any(bar in result.out for bar in "▁▂▃▄▅▆▇█")
    assert "artifacts\n  model.bin\n" in result.out.replace("files/", "")


def test_show_takes_texts_literally(expman_command: Expman, store: Path) -> None:
    """Brackets of a reason are no markup."""
    assert "[red]no[/red] luck" in expman_command("show", "b-failed", base_dir=store).out


def test_show_json(expman_command: Expman, store: Path) -> None:
    """JSON has the parameters, the metrics and the artifacts, too."""
    shown = json.loads(expman_command("show", "aa", "--json", base_dir=store).out)

    assert {"lr": 0.1, "model": {"layers": [8, 8]}, "seed": 1} == shown["config"]
    assert ["train/loss", "accuracy", "phase"] == shown["metrics"]
    assert ["artifacts/model.bin"] == shown["artifacts"]
    assert 44 == shown["rows_written"]


def test_latest_is_the_newest(expman_command: Expman, store: Path) -> None:
    """`latest` is the run that began last; a live one shows every written row."""
    shown = json.loads(expman_command("show", "latest", "--json", base_dir=store).out)

    assert ("c-live", "RUNNING") == (shown["run"], shown["status"])


def test_latest_of_an_experiment(expman_command: Expman, run_base: Path) -> None:
    """`a/latest` is the newest of that experiment, whatever is called so; that has its path."""
    make_run(run_base, "one", experiment="a")
    make_run(run_base, "two", experiment="a", started_at="2026-02-01T12:00:00.000000Z")
    make_run(run_base, "late", experiment="b", started_at="2026-03-01T12:00:00.000000Z")

    def shown(run: str) -> str:
        return str(json.loads(expman_command("show", run, "--json", base_dir=run_base).out)["run"])

    assert ["late", "two", "late"] == list(map(shown, ["latest", "a/latest", "b/latest"]))
    make_run(run_base, "latest", experiment="b")
    make_run(run_base, "latest-1", experiment="a")
    assert ["late", "two", "late"] == list(map(shown, ["latest", "a/latest", "b/latest"]))
    assert "latest" == shown(str(run_base / "b" / "latest"))
    missing = expman_command("show", "c/latest", base_dir=run_base)
    assert (2, True) == (missing.code, "c/latest" in missing.err)


def test_show_says_if_nobody_runs_it(expman_command: Expman, run_base: Path) -> None:
    """RUNNING without a lane on this machine is said, with what to do."""
    (run_base / "e" / "r").mkdir(parents=True)
    RunFile(str(run_base / "e" / "r")).write(RunMetadata(name="r", experiment="e"))

    assert "expman recover" in expman_command("show", "r", base_dir=run_base).err


@pytest.mark.parametrize(
    ("name", "heading"),
    [
        ("aa-first", "# digits/aa-first: FINISHED\n\nNothing went wrong.\n"),
        ("b-failed", "# digits/b-failed: FAILED, [red]no[/red] luck\n"),
        ("c-live", "# digits/c-live: RUNNING\n"),
    ],
)
def test_why(expman_command: Expman, store: Path, name: str, heading: str) -> None:
    """The heading has the experiment and what happened; JSON has the same facts."""
    result = expman_command("why", name, base_dir=store)
    assert (0, "") == (result.code, result.err)
    assert result.out.startswith(heading)
    found = json.loads(expman_command("why", name, "--json", base_dir=store).out)
    for fact in (found or {"facts": []})["facts"]:
        assert f"({fact['source']})" in result.out


def test_why_of_a_live_run(expman_command: Expman, store: Path) -> None:
    """It says who has logged how much, and when the last row came."""
    told = expman_command("why", "c-live", base_dir=store).out
    found = re.search(
        r"main has logged 44 rows, the last one with step 39 came (\d+ [a-z ]+)", told
    )
    assert found is not None, told
    assert "no longer runs here" not in told


def test_why_of_a_live_run_that_has_nan(expman_command: Expman, run_base: Path) -> None:
    """The metric is named while it can still be mended."""
    with LoggingEngine(ExperimentConfig("e", run_base, run_name="r")) as engine:
        for step in range(1500):
            engine.log_vector({"loss": math.nan if step >= 500 else 1.0}, step)
        engine.flush()
        told = expman_command("why", "r", base_dir=run_base).out
        assert "loss has been NaN or infinite since step 500 (1,000 rows)" in told


def test_show_keeps_the_indentation_of_what_was_printed(
    expman_command: Expman, run_base: Path
) -> None:
    """The lines of a traceback stand below each other as they were printed."""
    run_dir = run_base / "e" / "r"
    run_dir.mkdir(parents=True)
    RunFile(str(run_dir)).write(RunMetadata(name="r", experiment="e"))
    when = "[2026-01-31T12:00:00.000Z] [err]"
    (run_dir / "console.log").write_text(f'{when}   File "a.py"\n{when}     call()\n')

    shown = expman_command("show", "r", base_dir=run_base).out

    assert '    File "a.py"\n      call()\n' in shown


def test_show_watch_ends_with_the_run(expman_command: Expman, store: Path) -> None:
    """The view of a run that has ended is shown once."""
    result = expman_command("show", "--watch", "aa", base_dir=store)

    assert (0, 1) == (result.code, result.out.count("digits/aa-first"))


def test_tail(expman_command: Expman, store: Path) -> None:
    """The last rows and messages come in the order of logging."""
    result = expman_command("tail", "aa", "-n", "3", base_dir=store)

    lines = result.out.splitlines()
    assert 3 == len(lines)
    assert "train/loss=" in lines[0]
    assert "phase=test" in lines[1]
    assert "WARN the learning rate is low" in lines[2]


def test_tail_chooses(expman_command: Expman, store: Path) -> None:
    """Rows, messages or single metrics can be chosen; a line of JSON is one of them."""
    out = expman_command("tail", "aa", "--no-log", "-m", "accuracy", "--json", base_dir=store).out
    rows = [json.loads(line) for line in out.splitlines()]
    assert [{"accuracy": 0.975}] == [row["values"] for row in rows][-1:]
    assert {"time", "step", "values", "producer", "seq"} == rows[0].keys()

    out = expman_command("tail", "aa", "--no-rows", "--json").out
    assert ["the learning rate is low"] == [json.loads(out)["message"]]


def test_tail_follows_a_live_run(program: StartProgram, run_base: Path) -> None:
    """-f shows rows and messages as they come, each once, and ends with the run."""
    with record(run_base, "r", 0.1, rows=5) as engine:
        engine.flush()
        tail = program(["-m", "expman.cli", "tail", "-f", "-n", "2", "--json", engine.run_dir])
        said = [json.loads(tail.read_line()) for _ in range(2)]
        assert [4, "the learning rate is low"] == [said[0]["step"], said[1]["message"]]

        engine.log_vector({"train/loss": 1.5}, 5)
        engine.flush()
        row = json.loads(tail.read_line())
        assert (5, 5) == (row["step"], row["seq"])
        engine.log_message("INFO", "good bye")
        engine.log_vector({"train/loss": float("nan")}, 6)

    rest = [json.loads(line) for line in tail.succeed().splitlines()[3:]]
    assert ["good bye"] == [item["message"] for item in rest if "message" in item]
    assert [{"train/loss": None}] == [item["values"] for item in rest if "values" in item]


def test_plot(expman_command: Expman, store: Path) -> None:
    """Each metric that is a number gets a chart, within the width, without color in a pipe."""
    result = expman_command("plot", "aa", base_dir=store)

    assert 0 == result.code
    assert "train/loss" in result.out
    assert "accuracy" in result.out
    assert "\x1b" not in result.out
    assert max(map(len, result.out.splitlines())) <= 100
    some = expman_command("plot", "aa", "train/*", base_dir=store).out
    assert (True, False) == ("train/loss" in some, "accuracy" in some)
    assert 2 == expman_command("plot", "aa", "tra*n", base_dir=store).code


@pytest.mark.parametrize(
    ("values", "labels"),
    [([1e-4, 1.0, 100.0], ["0.0001", "1", "100"]), ([2.0, 4.0], ["2", "4"]), ([5.0], ["5"])],
)
def test_plot_with_a_logarithmic_axis(
    expman_command: Expman, run_base: Path, values: list[float], labels: list[str]
) -> None:
    """The labels are values of the metric, not their exponents."""
    make_run(run_base, "r", block(0, {"x": values}))

    out = expman_command("plot", "r", "--log", base_dir=run_base).out

    assert set(labels) <= {line.split("┤")[0].strip() for line in out.splitlines() if "┤" in line}


def test_plot_to_png(expman_command: Expman, store: Path, tmp_path: Path) -> None:
    """-o writes a PNG, also of a live run and with a logarithmic axis."""
    result = expman_command("plot", "latest", "--log", "-o", "plot.png", base_dir=store)

    assert (0, "plot.png\n") == (result.code, result.out)
    assert PNG == (tmp_path / "plot.png").read_bytes()[:8]


def test_compare(expman_command: Expman, store: Path) -> None:
    """Parameters that differ are shown, those that do not are not; values and curves, too."""
    result = expman_command("compare", "aa", "ab", "-m", "train/loss", base_dir=store)

    assert 0 == result.code
    assert ["lr", "0.1", "0.2"] in [line.split() for line in result.out.splitlines()]
    assert "seed" not in result.out
    assert ["best", "0.5", "0.5"] in [line.split() for line in result.out.splitlines()]
    assert "aa aa-first   bb ab-second" in result.out
    assert "seed" in expman_command("compare", "aa", "ab", "--all-params").out


def test_compare_json_and_png(expman_command: Expman, store: Path, tmp_path: Path) -> None:
    """JSON has the same; the PNG has the curves of the metrics that the runs share."""
    found = json.loads(expman_command("compare", "aa", "ab", "--json", base_dir=store).out)
    assert {"lr": [0.1, 0.2]} == found["params"]
    assert [0.975, 0.975] == found["latest"]["accuracy"]

    assert 0 == expman_command("compare", "aa", "c-live", "-o", "c.png").code
    assert PNG == (tmp_path / "c.png").read_bytes()[:8]


@pytest.mark.parametrize("width", [50, 80, 200])
@pytest.mark.parametrize("command", [["ls"], ["show", "aa"], ["compare", "aa", "ab"], ["ls", "-e"]])
def test_tables_fit_the_terminal(
    expman_command: Expman,
    monkeypatch: pytest.MonkeyPatch,
    store: Path,
    width: int,
    command: list[str],
) -> None:
    """No line is wider than the terminal, and no run's name is lost."""
    from expman.cli.output import console

    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    console.cache_clear()
    try:
        result = expman_command(*command, base_dir=store)
    finally:
        console.cache_clear()

    assert 0 == result.code, result.err
    out = result.out

    assert max(map(len, out.splitlines())) <= width
    assert "\x1b" not in out
    assert command == ["ls", "-e"] or "aa-first" in out


def test_closed_pipe(store: Path, program: StartProgram) -> None:
    """`expman … | head` ends quietly."""
    shell = (
        "import subprocess, sys; a = subprocess.Popen("
        "[sys.executable, '-m', 'expman.cli', 'export', 'aa', '-f', 'json'], "
        "stdout=subprocess.PIPE, stderr=subprocess.PIPE); "
        "a.stdout.close(); a.wait(); print(a.stderr.read())"
    )

    done = program(["-c", shell], env={"EXPMAN_BASE_DIR": str(store)})

    assert "b''\n" == done.succeed()


def test_runs_of_every_shape(
    expman_command: Expman, run_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Empty, huge and odd runs, odd names and odd entries of the base directory: no traceback."""
    make_run(run_base, "-lead", block(0, {"x": [1.0]}))
    make_run(run_base, "g*[a]?", block(0, {"x": [1.0]}))
    make_run(run_base, "empty")
    make_run(run_base, "huge", block(0, {"x": [1e308, -1e308, 1.7e308]}))
    make_run(run_base, "wide", block(0, {f"m{number}": [1.0, 2.0] for number in range(2000)}))
    (run_base / "a-file").write_text("x")
    (run_base / "dangling").symlink_to("nowhere")
    (run_base / "exp" / "dangling").symlink_to("nowhere")

    for command, code, said in (
        (["ls"], 0, "-lead"),
        (["ls", "a-file"], 2, "no experiment 'a-file' in"),
        (["ls", "dangling"], 2, "no experiment 'dangling' in"),
        (["show", "--", "-lead"], 0, "exp/-lead"),
        (["show", "g*[a]?"], 0, "exp/g*[a]?"),
        (["show", "wide"], 0, "… and 1960 more"),
        (["show", "huge"], 0, "█"),
        (["plot", "huge"], 0, "x (in 1e+308)"),
        (["plot", "huge", "-o", "p.png"], 0, "p.png"),
        (["plot", "huge", "--log"], 0, "x (log scale, 1 point not above 0 left out)"),
        (["plot", "wide"], 0, "m11 and 1988 more"),
        (["plot", "empty"], 1, "no numbers to plot"),
        (["tail", "empty"], 0, ""),
        (["compare", "empty", "wide"], 0, "empty"),
        (["notebook", "--", "-lead"], 0, "-lead.ipynb"),
    ):
        result = expman_command(*command, base_dir=run_base)
        assert (code, True) == (result.code, said in result.out + result.err), (command, result)


def test_a_run_of_several_attempts(expman_command: Expman, tmp_path: Path) -> None:
    """show and plot have its attempts, and ls has them as a column."""
    for first, last in ((0, 6), (4, 8)):
        config = ExperimentConfig("e", str(tmp_path), run_name="r", resume="allow", from_step=first)
        with LoggingEngine(config) as engine:
            for step in range(first, last):
                engine.log_vector({"n": float(step)}, step)
    shown = expman_command("show", "e/r", base_dir=tmp_path).out
    assert "attempt  2, from step 4; before it 1: FINISHED" in shown
    plotted = expman_command("plot", "e/r", "n", base_dir=tmp_path)
    assert "attempt 2 begins at step 4; 2 rows are superseded" in plotted.err
    listed = expman_command("ls", "--columns", "attempt", base_dir=tmp_path).out
    assert "attempt" in listed
    with LoggingEngine(ExperimentConfig("e", str(tmp_path), run_name="r", resume="must")) as engine:
        engine.log_vector({"n": 7.0}, 7)
    plotted = expman_command("plot", "e/r", "n", base_dir=tmp_path)
    assert "attempt 3 had no from_step: steps that it repeats are there twice" in plotted.err
    assert listed.rstrip().endswith("2")
    assert "r" in expman_command("ls", "--where", "attempt>1", base_dir=tmp_path).out


def test_show_prints_lines_as_they_were_printed(expman_command: Expman, run_base: Path) -> None:
    """Columns and blank lines stay; what is long is cut, and controls are escaped."""
    run = make_run(run_base, "r")
    lines = ["epoch   loss", "    1   0.5", "", "\tlast\x07", "x" * 1000]
    start = "[2026-01-31T12:00:00.000Z] [out] "
    (run / "console.log").write_text("".join(f"{start}{line}\n" for line in lines))
    shown = expman_command("show", run).out.partition("printed last\n")[2].splitlines()
    expected = ["  epoch   loss", "      1   0.5", "", "          last\\x07"]
    assert expected == [line.rstrip() for line in shown[:4]]
    assert "… (1,000 characters)" in " ".join(shown[4:])
