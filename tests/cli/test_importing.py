"""export -f tensorboard and import: exact names, whole records, and nothing half-made."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import Expman
from conftest import StartProgram
from process.runs import wait_until
from unit.reading.run_files import block, make_run

import expman
from expman.models import RunStatus

pytestmark = pytest.mark.skipif(find_spec("tensorboardX") is None, reason="needs tensorboardX")


def writer_of(directory: Path) -> Any:
    from tensorboardX import SummaryWriter  # brings torch, where that is installed

    return SummaryWriter(str(directory), write_to_disk=True)


def write_events(directory: Path, rows: int = 6) -> Path:
    """An event file with so many scalars; its path."""
    with writer_of(directory) as writer:
        for step in range(rows):
            writer.add_scalar("loss", step, step)
    (path,) = directory.iterdir()
    return path


def offsets(data: bytes) -> list[int]:
    """Where each record of an event file begins."""
    found, at = [], 0
    while at < len(data):
        found.append(at)
        at += 16 + struct.unpack("<Q", data[at : at + 8])[0]
    return found


def test_tensorboard_there_and_back(expman_command: Expman, store: Path, tmp_path: Path) -> None:
    """What is exported for TensorBoard comes back with its steps, times and values."""
    command = ["export", "aa", "-f", "tensorboard", "-o", "tb/aa"]
    assert 0 == expman_command(*command, base_dir=store).code

    result = expman_command("import", "tb", "-e", "back", "-d", "copy")

    assert (0, True) == (result.code, result.out.startswith("copy/back/aa: 4"))
    run = expman.Run("copy/back/aa")
    original = expman.Run(store / "digits" / "aa-first")
    first, again = original.vectors(merge_steps=True), run.vectors(merge_steps=True)
    assert first["step"].to_pylist() == again["step"].to_pylist()
    for name in ("train/loss", "accuracy"):  # TensorBoard keeps 32 bits
        one, two = first[name].drop_null().to_pylist(), again[name].drop_null().to_pylist()
        assert one == pytest.approx(two, rel=1e-6)
    # Rows of one step share a row if they are no more than a second apart.
    times = [moment.timestamp() for moment in original.vectors()["timestamp"].to_pylist()]
    for row in run.vectors().to_pylist():
        if row["train/loss"] is not None or row["accuracy"] is not None:  # not only a scalar
            moment = row["timestamp"].timestamp()
            assert min(abs(moment - time) for time in times) < 1e-4
    assert first["phase"].to_pylist() == again["phase"].to_pylist()
    assert RunStatus.FINISHED == run.status


def test_import_counts_what_it_leaves_out(expman_command: Expman, tmp_path: Path) -> None:
    """Histograms have no place in a run; a file that is cut off gives what is whole."""
    with writer_of(tmp_path / "logs") as writer:
        for step in range(3):
            writer.add_scalar("step", step, step)
            writer.add_scalar("loss", 0.5, step)
        writer.add_scalar("loss", 0.25, 2)
        writer.add_histogram("h", [1, 2, 3], 0)
    (path,) = (tmp_path / "logs").iterdir()
    path.write_bytes(path.read_bytes()[:-3])

    result = expman_command("import", "logs", "-e", "tb", "-d", "out")

    assert 0 == result.code
    assert result.out.endswith("/logs: 4 rows\n")
    table = expman.Run(tmp_path / "out" / "tb" / "logs").vectors(["step", "loss", "step_"])
    rows = table.to_pylist()
    assert [0, 1, 2, 2] == [row["step"] for row in rows]
    assert [0.5, 0.5, 0.5, 0.25] == [row["loss"] for row in rows]
    assert [0.0, 1.0, 2.0, None] == [row["step_"] for row in rows]


def test_import_without_event_files(expman_command: Expman, tmp_path: Path) -> None:
    """A directory without event files is a mistake."""
    (tmp_path / "empty").mkdir()

    assert "found no runs in empty" in expman_command("import", "empty", "-e", "x").err


def test_no_two_metrics_are_merged(expman_command: Expman, run_base: Path) -> None:
    """A tag is the metric's name, whatever it holds."""
    names = ("loss[a]", "loss_a_", "loss a", "Loss[a]", "x/y", "x.y", "größe", ":smile:", "a\nb")
    values = {name: [float(number)] for number, name in enumerate(names)}
    make_run(run_base, "r", block(0, values | {"t[0]": ["text"], "t_0_": ["other"]}))

    exporting = ["export", "r", "-f", "tensorboard", "-o", "tb/r"]
    for command in (exporting, ["import", "tb", "-e", "b"]):
        assert 0 == expman_command(*command, base_dir=run_base).code

    (row,) = expman.Run(run_base / "b" / "r").vectors().to_pylist()
    assert {name: float(number) for number, name in enumerate(names)}.items() <= row.items()
    assert ("text", "other") == (row["t[0]"], row["t_0_"])


@pytest.mark.parametrize(
    ("at", "byte", "rows", "remark"),
    [
        (5, 0x7F, 3, "bytes behind a damaged length"),
        (8, 0x01, 3, "bytes behind a damaged length"),
        (12, 0xFF, 5, "1 of kind damaged records"),
        (30, 0xFF, 5, "1 of kind damaged records"),
        (-1, 0xFF, 5, "1 of kind damaged records"),
    ],
)
def test_damaged_records_are_counted(
    expman_command: Expman, tmp_path: Path, at: int, byte: int, rows: int, remark: str
) -> None:
    """What is whole is imported: before a damaged length, and around any other damage."""
    path = write_events(tmp_path / "logs")
    data = bytearray(path.read_bytes())
    places = offsets(bytes(data))
    data[places[4] + at if at >= 0 else places[5] - 1] ^= byte
    path.write_bytes(data)

    result = expman_command("import", "logs", "-e", "tb", "-d", "out")

    assert (0, True) == (result.code, remark in result.err), result.err
    assert rows == expman.Run("out/tb/logs").vectors().num_rows


@pytest.mark.parametrize("cut", [1, 4, 5, 20, 30, 40])
def test_a_cut_file(expman_command: Expman, tmp_path: Path, cut: int) -> None:
    """A record that is still being written is counted, the ones before it are taken."""
    path = write_events(tmp_path / "logs")
    data = path.read_bytes()
    path.write_bytes(data[: offsets(data)[-1] + cut])

    result = expman_command("import", "logs", "-e", "tb", "-d", "out")

    assert f"left out: {cut} of kind bytes of a record that is cut off" in result.err
    assert 5 == expman.Run("out/tb/logs").vectors().num_rows


def test_params_and_texts(expman_command: Expman, tmp_path: Path) -> None:
    """Hyperparameters become parameters; a text of any shape becomes a text metric."""
    from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboardX.proto.tensor_pb2 import TensorProto
    from tensorboardX.proto.tensor_shape_pb2 import TensorShapeProto

    with writer_of(tmp_path / "logs") as writer:
        for tag, texts, shape in (("none", ["a"], []), ("table", ["a", "b", "c", "d"], [2, 2])):
            plugin = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
            dims = TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in shape])
            data = [text.encode() for text in texts]
            tensor = TensorProto(dtype="DT_STRING", string_val=data, tensor_shape=dims)
            value = Summary.Value(tag=tag, metadata=plugin, tensor=tensor)
            writer.file_writer.add_summary(Summary(value=[value]), 0)
        big = TensorProto(dtype="DT_INT64", int64_val=[2**60 + 7])
        writer.file_writer.add_summary(Summary(value=[Summary.Value(tag="n", tensor=big)]), 0)
        many = TensorProto(dtype="DT_FLOAT", float_val=[1.0, 2.0])
        many.tensor_shape.dim.add(size=2)
        writer.file_writer.add_summary(Summary(value=[Summary.Value(tag="m", tensor=many)]), 0)
        writer.add_hparams({"lr": float("nan"), "opt": "adam", "fast": True}, {"acc": 0.5})

    result = expman_command("import", "logs", "-e", "tb", "-d", "out")

    assert "left out: 1 of kind tensor\n" == result.err.lstrip()
    configs = [run.config for run in expman.runs("out") if run.config]
    assert "{'fast': True, 'lr': nan, 'opt': 'adam'}" in map(str, configs)
    (row,) = expman.Run("out/tb/logs").vectors().to_pylist()
    assert ("a", [["a", "b"], ["c", "d"]]) == (row["none"], json.loads(row["table"]))
    assert 2**60 + 7 == row["n"]


def test_each_directory_becomes_a_listed_run(expman_command: Expman, tmp_path: Path) -> None:
    """Hidden, long, clashing and undecodable names, and files without a value."""
    first = write_events(tmp_path / "logs" / ".hidden")
    long = "/".join(["seed_1-layers_64_64-dropout_0.1"] * 12)
    others = ("a_b", "a/b", "..x", "new\nline", long, long[:-1] + "2", os.fsdecode(b"\xff"))
    for name in others:
        (tmp_path / "logs" / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(first, tmp_path / "logs" / name)
    (tmp_path / "logs" / "begun").mkdir()
    (tmp_path / "logs" / "begun" / "events.out.tfevents.1.x").touch()

    result = expman_command("import", "logs", "-e", "tb", "-d", "out")

    assert 0 == result.code
    listed = {run.name: str(run.status) for run in expman.runs("out")}
    assert len(others) + 2 == len(listed) == len(result.out.splitlines())
    assert listed == {run["run"]: run["status"] for run in expman.load_runs("out")}
    assert {"FINISHED"} == set(listed.values())


def test_an_import_made_again(expman_command: Expman, tmp_path: Path) -> None:
    """It takes the place of the first one, and follows what came; it never loses rows or files."""
    path = write_events(tmp_path / "logs", 2)
    command = ["import", "logs", "-e", "tb", "-d", "out"]
    run = tmp_path / "out" / "tb" / "logs"
    expman_command(*command)
    path.unlink()
    path = write_events(tmp_path / "logs", 4)
    assert 0 == expman_command(*command).code
    assert 4 == expman.Run(run).vectors().num_rows

    path.write_bytes(path.read_bytes()[:200])
    assert "has more rows" in expman_command(*command).err
    assert 4 == expman.Run(run).vectors().num_rows
    assert {"logs", "experiment.yaml"} == set(os.listdir(run.parent))

    (run / "notes.txt").write_text("mine")
    assert 0 == expman_command(*command).code
    assert {"logs", "logs-1", "experiment.yaml"} == set(os.listdir(run.parent))
    assert "mine" == (run / "notes.txt").read_text()


def test_a_failed_import_leaves_nothing(expman_command: Expman, tmp_path: Path) -> None:
    """An event file that cannot be read: an error, no run, no experiment."""
    (tmp_path / "logs").mkdir()
    os.mkfifo(tmp_path / "logs" / "events.out.tfevents.1.x")

    result = expman_command("import", "logs", "-e", "tb", "-d", "out")

    assert (1, True) == (result.code, "found a pipe" in result.err)
    assert [] == os.listdir("out")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_import_that_is_killed(
    program: StartProgram, expman_command: Expman, tmp_path: Path, number: signal.Signals
) -> None:
    """No half a run is ever listed; the same import made again is whole.

    Ctrl-C ends it at the next record, so a run whose records are all read may be completed.
    """
    write_events(tmp_path / "logs", 1)
    gate = tmp_path / "gate"
    gate.touch()
    importing = program(
        ["-m", "expman.cli", "import", "logs", "-e", "tb", "-d", "out"],
        env={"EXPMAN_FAILPOINTS": f"parquet-before-rename=wait:{gate}"},
    )
    half = tmp_path / "out" / "tb"
    wait_until(lambda: [*half.glob(".expman-importing-*/.expman-tmp-*")], "half a run")
    os.kill(importing.pid, number)
    gate.unlink()  # for what is done on the way out
    importing.wait()

    found = expman.runs(tmp_path / "out")
    assert [] == found.unreadable
    assert {(RunStatus.FINISHED, 1)} >= {(run.status, run.metadata.rows_written) for run in found}
    assert not found or number == signal.SIGINT
    result = expman_command("import", "logs", "-e", "tb", "-d", "out")
    assert (0, True) == (result.code, "/logs: 1 rows" in result.out)
    assert {"logs", "experiment.yaml"} == set(os.listdir("out/tb"))


def test_several_formats_in_one_directory(expman_command: Expman, tmp_path: Path) -> None:
    """Which one is meant must be said; then the others are left alone."""
    write_events(tmp_path / "logs" / "tb")
    (tmp_path / "logs" / "run-x.wandb").write_bytes(b":W&B\xe1\xbe\x00")

    result = expman_command("import", "logs", "-e", "e", "-d", "out")
    assert (2, True) == (result.code, "1 of tensorboard, 1 of wandb; add --from" in result.err)
    assert 0 == expman_command("import", "logs", "-e", "e", "-d", "out", "--from", "wandb").code
    assert ["x"] == [run.name for run in expman.runs("out")]


def test_one_bad_run_stops_no_other(expman_command: Expman, tmp_path: Path) -> None:
    """It is named, the others are imported, and the exit code is 1."""
    for name in ("a", "c"):
        path = tmp_path / "store" / name / f"run-{name}.wandb"
        path.parent.mkdir(parents=True)
        path.write_bytes(b":W&B\xe1\xbe\x00")
    bad = tmp_path / "store" / "b" / "run-b.wandb"
    bad.parent.mkdir()
    bad.write_bytes(b"something else")

    result = expman_command("import", "store", "-d", "out")
    assert (1, True) == (result.code, "not imported: store/b: it does not begin" in result.err)
    assert "1 of 3 runs could not be imported" in result.err
    assert {"a", "c"} == {run.name for run in expman.runs("out")}


def test_an_experiment_must_be_named(expman_command: Expman, tmp_path: Path) -> None:
    """Unless the tracker has a name for it."""
    write_events(tmp_path / "logs")
    result = expman_command("import", "logs", "-d", "out")
    assert (2, True) == (result.code, "add --experiment NAME" in result.err)
    assert not (tmp_path / "out").exists()


def test_a_terminal_shows_how_far_it_is(tmp_path: Path) -> None:
    """If there is enough to wait for; lines of the result do not run into the bar."""
    for number in range(25):
        write_events(tmp_path / "logs" / str(number), 1)
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "expman.cli", "import", "logs", "-e", "e", "-d", "out"]
    done = subprocess.run(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=theirs, timeout=120, check=False
    )
    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert (0, 25) == (done.returncode, len(done.stdout.splitlines()))
    assert "reading  [" in shown
    assert "100%" in shown
