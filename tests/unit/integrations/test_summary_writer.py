"""SummaryWriter: what TensorBoard's is given is in the run."""

from __future__ import annotations

import datetime
import inspect
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from run_files import run_yaml

import expman
from expman import Run
from expman.integrations.tensorboard import SummaryWriter
from expman.reading.media import MediaItem

pytestmark = pytest.mark.usefixtures("standing_writer")

# Public methods of torch.utils.tensorboard 2.13 and tensorboardX 2.6, and their parameters.
METHODS = {
    "add_audio": "tag snd_tensor global_step sample_rate walltime",
    "add_custom_scalars": "layout",
    "add_custom_scalars_marginchart": "tags category title",
    "add_custom_scalars_multilinechart": "tags category title",
    "add_embedding": "mat metadata label_img global_step tag metadata_header",
    "add_figure": "tag figure global_step close walltime",
    "add_graph": "model",
    "add_histogram": "tag values global_step bins walltime max_bins",
    "add_histogram_raw": "tag min max num sum sum_squares bucket_limits bucket_counts global_step "
    "walltime",
    "add_hparams": "hparam_dict metric_dict hparam_domain_discrete run_name global_step",
    "add_image": "tag img_tensor global_step walltime dataformats",
    "add_image_with_boxes": "tag img_tensor box_tensor global_step walltime rescale dataformats "
    "labels",
    "add_images": "tag img_tensor global_step walltime dataformats",
    "add_mesh": "tag vertices colors faces config_dict global_step walltime",
    "add_onnx_graph": "prototxt onnx_model_file",
    "add_openvino_graph": "xmlname",
    "add_pr_curve": "tag labels predictions global_step num_thresholds weights walltime",
    "add_pr_curve_raw": "tag true_positive_counts false_positive_counts true_negative_counts "
    "false_negative_counts precision recall global_step num_thresholds weights walltime",
    "add_scalar": "tag scalar_value global_step walltime",
    "add_scalars": "main_tag tag_scalar_dict global_step walltime",
    "add_tensor": "tag tensor global_step walltime",
    "add_text": "tag text_string global_step walltime",
    "add_video": "tag vid_tensor global_step fps walltime",
    "close": "",
    "export_scalars_to_json": "path",
    "flush": "",
    "get_logdir": "",
    "use_metadata": "global_step walltime",
}
PIXELS = np.linspace(0, 1, 4 * 6 * 3).reshape(3, 4, 6)


@pytest.mark.parametrize(("name", "parameters"), METHODS.items())
def test_every_method_is_there(name: str, parameters: str) -> None:
    """With the parameters that TensorBoard's has, in their order."""
    found = list(inspect.signature(getattr(SummaryWriter, name)).parameters)[1:]
    assert parameters.split() == found[: len(parameters.split())]


@pytest.fixture
def writer(tmp_path: Path) -> SummaryWriter:
    return SummaryWriter(tmp_path / "logs" / "mnist" / "first")


def run_of(writer: SummaryWriter) -> Run:
    writer.close()
    return Run(writer.log_dir)


def test_scalars_are_rows(writer: SummaryWriter) -> None:
    """With their step and time; values of one element are taken from any array."""
    writer.add_scalar("loss", 0.5, 1)
    writer.add_scalar("loss", np.float32(0.25), np.int64(2), 1_700_000_000.5)
    writer.add_scalar("loss", np.array([0.125]), 3, new_style=True)
    writer.add_scalars("acc", {"train": 0.5, "test": 1}, 3)
    writer.add_scalar("loss", math.nan)
    run = run_of(writer)

    table = run.vectors(["step", "timestamp", "loss", "acc/train", "acc/test"]).to_pydict()
    assert [1, 2, 3, 3, None] == table["step"]
    assert [0.5, 0.25, 0.125, None] == table["loss"][:4]
    assert math.isnan(table["loss"][4])
    assert (0.5, 1) == (table["acc/train"][3], table["acc/test"][3])
    expected = datetime.datetime.fromtimestamp(1_700_000_000.5, datetime.UTC)
    assert expected == table["timestamp"][1]


def test_a_time_long_ago(writer: SummaryWriter) -> None:
    """walltime=0 is the earliest time that a row can have."""
    for number in range(2000):
        writer.add_scalar("loss", float(number), number, 0.0)
    table = run_of(writer).vectors(["loss", "timestamp"])

    assert list(map(float, range(2000))) == table["loss"].to_pylist()
    assert {1970} == {moment.year for moment in table["timestamp"].to_pylist()}


def test_hyperparameters(writer: SummaryWriter) -> None:
    """Parameters, and the metrics as scalars and as a row."""
    writer.add_hparams({"lr": 0.1, "name": "a"}, {"hparam/acc": 0.9}, run_name="x")
    run = run_of(writer)

    assert {"lr": 0.1, "name": "a"} == run.config
    assert {"hparam/acc": 0.9} == run.scalars
    assert [0.9] == run.vectors(["hparam/acc"])["hparam/acc"].to_pylist()


def test_histograms(writer: SummaryWriter) -> None:
    """Values, bins that are counted, and edges."""
    writer.add_histogram("values", np.arange(100.0), 1)
    writer.add_histogram("ten", np.arange(100), 1, bins=10)
    writer.add_histogram("edges", [1.0, 2.0, 2.5], 1, bins=[0, 2, 4])
    writer.add_histogram_raw("raw", 0.0, 3.0, 6, 0, 0, [1.0, 2.0, 1.8e308], [1, 2, 3], 2)
    found = {row.tag: row for row in run_of(writer).histograms()}

    assert 64 == len(found["values"].counts)
    assert [10] * 10 == found["ten"].counts
    assert ([0, 2, 4], [1, 2]) == (found["edges"].edges, found["edges"].counts)
    assert ([0, 1, 2, 3], [1, 2, 3]) == (found["raw"].edges, found["raw"].counts)
    assert 2 == found["raw"].step


def media(writer: SummaryWriter) -> dict[str, MediaItem]:
    return {item.tag: item for item in run_of(writer).media()}


def test_pictures(writer: SummaryWriter) -> None:
    """Of every order of axes: floats within 0 and 1, bytes, one channel or none."""
    image_of = pytest.importorskip("PIL.Image")
    writer.add_image("chw", PIXELS, 1)
    writer.add_image(
        "hwc", (PIXELS.transpose(1, 2, 0) * 255).astype(np.uint8), 1, dataformats="HWC"
    )
    writer.add_image("hw", PIXELS[0], 1, dataformats="HW")
    writer.add_images("many", np.stack([PIXELS] * 4), 1)
    writer.add_image_with_boxes("boxes", PIXELS, np.array([[1, 1, 3, 3]]), 1, labels=["a"])
    found = media(writer)

    assert {"chw", "hwc", "hw", "many", "boxes"} == set(found)
    files = {}
    for tag in ("chw", "hwc", "hw"):
        with image_of.open(found[tag].path) as file:
            files[tag] = file.convert("RGB")
    assert [(6, 4)] * 3 == [file.size for file in files.values()]
    pixels = {tag: np.asarray(files[tag]).astype(int) for tag in ("chw", "hwc")}
    assert 1 >= abs(pixels["chw"] - pixels["hwc"]).max()


def test_a_wrong_order_of_axes(writer: SummaryWriter) -> None:
    """It raises at the call and names the shape."""
    with pytest.raises(ValueError, match=r"the shape \(4, 6\) does not go with dataformats='CHW'"):
        writer.add_image("x", PIXELS[0], 1)
    writer.close()


def test_other_media(writer: SummaryWriter) -> None:
    """Sounds, videos, texts, figures, and curves as tables."""
    writer.add_audio("sound", np.zeros((1, 800)), 1, sample_rate=8000)
    writer.add_video("film", np.zeros((1, 3, 3, 4, 6)), 1, fps=2)
    writer.add_text("text", "hello", 1)
    writer.add_pr_curve("curve", np.array([0, 1, 1]), np.array([0.1, 0.6, 0.9]), 1, 11)
    found = media(writer)

    kinds = {tag: item.kind for tag, item in found.items()}
    assert {"sound": "audio", "film": "video", "text": "text", "curve": "table"} == kinds
    assert "hello" == Path(found["text"].path).read_text()


def test_what_a_run_has_no_kind_for(writer: SummaryWriter, tmp_path: Path) -> None:
    """It is kept as an artifact, and run.log names it."""
    writer.add_tensor("t", np.arange(3), 1)
    writer.add_embedding(np.eye(2), metadata=["a", "b"], global_step=2)
    writer.add_mesh("m", np.zeros((1, 3, 3)), 4)
    writer.add_graph("a model")
    (tmp_path / "model.onnx").write_bytes(b"x")
    writer.add_onnx_graph(tmp_path / "model.onnx")
    writer.add_custom_scalars({"a": {"b": ["Multiline", ["loss"]]}})
    run = run_of(writer)

    home = Path(run.path) / "artifacts" / "tensorboard"
    assert [0, 1, 2] == np.load(home / "t-1.npy").tolist()
    assert (home / "embedding" / "default-2.json").exists()
    assert (home / "mesh" / "m-vertices.npy").exists()
    assert ("a model", b"x") == (
        (home / "graph.txt").read_text(),
        (home / "model.onnx").read_bytes(),
    )
    assert "kept as an artifact: tensorboard/t-1.npy" in [entry.message for entry in run.log()]
    assert {"custom_scalars": {"a": {"b": ["Multiline", ["loss"]]}}} == run.config


def test_where_the_run_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run's directory is log_dir; one that exists gets a suffix; runs/ is the default."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EXPMAN_BASE_DIR", raising=False)
    first, second = SummaryWriter("logs/mnist/a"), SummaryWriter(logdir="logs/mnist/a")
    default = SummaryWriter(comment="_lr")
    for writer in (first, second, default):
        writer.close()

    assert str(tmp_path / "logs" / "mnist" / "a") == first.get_logdir()
    assert f"{first.log_dir}-1" == second.log_dir
    assert tmp_path / "runs" == Path(default.log_dir).parent
    assert default.log_dir.endswith("_lr")


def test_the_current_run(run_base: Path) -> None:
    """A script that calls init() has its summaries in that run, which it ends itself."""
    run = expman.init("e", "r", str(run_base), quiet=True)
    with SummaryWriter() as writer:
        writer.add_scalar("loss", 1.0, 0)
    assert run.run_dir == writer.log_dir
    assert run.engine.is_open
    expman.close()


@pytest.mark.parametrize(
    "call",
    [lambda: expman.SummaryWriter, lambda: expman.integrations.tensorboard.SummaryWriter],
)
def test_where_it_is_found(call: Callable[[], object]) -> None:
    """As a name of the package, and of its module."""
    assert SummaryWriter is call()


def test_a_block_that_raises(tmp_path: Path) -> None:
    """The run is FAILED."""
    writer = SummaryWriter(tmp_path / "a" / "b")
    writer.add_scalar("loss", 1.0, 0, time.time())
    with pytest.raises(ValueError, match="odd"), writer:
        raise ValueError("odd")
    assert "FAILED" == run_yaml(Path(writer.log_dir))["status"]


def test_constructor() -> None:
    """torch's arguments in their order and with its defaults, and those of tensorboardX."""
    found = inspect.signature(SummaryWriter).parameters
    defaults = {name: one.default for name, one in found.items() if name != "settings"}

    expected = {
        "log_dir": None,
        "comment": "",
        "purge_step": None,
        "max_queue": 10,
        "flush_secs": 120,
        "filename_suffix": "",
        "write_to_disk": True,
        "logdir": None,
    }
    assert expected == defaults
    assert list(expected) == list(defaults)


def test_the_time_of_everything(writer: SummaryWriter) -> None:
    """walltime is the time of histograms, media and tables, too; of what has none it is now."""
    moment = 1_700_000_000.5
    writer.add_histogram("values", np.arange(10), 1, walltime=moment)
    writer.add_histogram("edges", [1.0], 1, bins=[0, 2], walltime=moment)
    writer.add_histogram_raw("raw", 0.0, 1.0, 1, 1, 1, [1.0], [1], 1, moment)
    writer.add_image("image", PIXELS, 1, moment)
    writer.add_audio("sound", np.zeros(8), 1, 8000, moment)
    writer.add_video("film", np.zeros((1, 2, 3, 4, 6)), 1, 2, moment)
    writer.add_text("text", "x", 1, moment)
    writer.add_pr_curve("curve", [0, 1], [0.1, 0.9], 1, 3, walltime=moment)
    writer.add_text("now", "x", 1)
    run = run_of(writer)

    expected = datetime.datetime.fromtimestamp(moment, datetime.UTC)
    times = {item.tag: item.logged_at for item in run.media()}
    assert times.pop("now") > expected
    assert {expected} == set(times.values()) == {one.logged_at for one in run.histograms()}


def test_assumed_step_and_time(writer: SummaryWriter) -> None:
    """Within use_metadata() a call without a step or a time has those."""
    with writer.use_metadata(global_step=17, walltime=13.0):
        writer.add_scalar("a", 1.0)
        writer.add_scalar("a", 2.0, global_step=7)
        writer.add_text("text", "x")
    writer.add_scalar("a", 3.0)
    run = run_of(writer)

    assert [17, 7, None] == run.vectors(["step"])["step"].to_pylist()
    assert [13.0, 13.0] == [
        moment.timestamp() for moment in run.vectors(["timestamp"])["timestamp"].to_pylist()[:2]
    ]
    assert [17] == [item.step for item in run.media()]


def test_nothing_is_written(tmp_path: Path) -> None:
    """With write_to_disk=False every call works, and no file is made."""
    with SummaryWriter(tmp_path / "a", write_to_disk=False) as writer:
        writer.add_scalar("loss", 1.0, 0)
        writer.add_image("image", PIXELS, 1)
        writer.add_graph("a model")
        writer.flush()
    assert str(tmp_path / "a") == writer.get_logdir()
    assert not (tmp_path / "a").exists()


def test_an_empty_directory_is_taken(tmp_path: Path) -> None:
    """One that exists and is empty, as tempfile makes it, becomes the run's."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    with SummaryWriter(tmp_path / "a" / "b") as writer:
        writer.add_scalar("loss", 1.0, 0)
    assert str(tmp_path / "a" / "b") == writer.get_logdir()


def test_a_call_after_close(writer: SummaryWriter, caplog: pytest.LogCaptureFixture) -> None:
    """The run goes on, with a warning; close() and flush() after the end do nothing."""
    writer.add_scalar("loss", 1.0, 0)
    writer.close()
    writer.flush()
    writer.close()
    first = writer.log_dir
    writer.add_scalar("loss", 2.0, 1)
    writer.close()
    run = Run(writer.log_dir)

    assert (first, 2) == (writer.log_dir, len(run.attempts))
    assert [1.0, 2.0] == run.vectors(["loss"])["loss"].to_pylist()
    assert f"used after close(): run {first} goes on" in caplog.text


def test_a_purged_step(tmp_path: Path) -> None:
    """A run that is at log_dir goes on at that step; without purge_step another one begins."""
    place = tmp_path / "a" / "b"
    for purge_step in (None, 2, None):
        with SummaryWriter(place, purge_step=purge_step) as writer:
            for step in range(purge_step or 0, 4):
                writer.add_scalar("loss", float(step + (purge_step or 0)), step)
    run = Run(str(place))

    assert [0.0, 1.0, 4.0, 5.0] == run.vectors(["loss"])["loss"].to_pylist()
    assert [2.0, 3.0] == run.superseded()["loss"].to_pylist()
    assert f"{place}-1" == writer.log_dir


def test_scalars_as_json(writer: SummaryWriter, tmp_path: Path) -> None:
    """The rows of the run so far, by directory and tag, each with time, step and value."""
    writer.add_scalar("loss", 0.5, 3, 1_700_000_000.5)
    writer.add_scalars("acc", {"train": 1.0}, 4, 1_700_000_001.5)
    writer.export_scalars_to_json(tmp_path / "all.json")
    home = writer.get_logdir()
    writer.close()

    expected = {
        f"{home}/loss": [[1_700_000_000.5, 3, 0.5]],
        f"{home}/acc/train": [[1_700_000_001.5, 4, 1.0]],
    }
    assert expected == json.loads((tmp_path / "all.json").read_text())


def test_arguments_as_tensorboardx_has_them(writer: SummaryWriter) -> None:
    """Names of hyperparameter sets, texts of scalars, labels and files stand in other places."""
    writer.add_hparams({"lr": 0.1}, {"acc": 1.0}, "named", 3)
    writer.add_scalar("loss", 1.0, 0, None, "shown", "described")
    writer.add_image_with_boxes("boxes", PIXELS, [[1, 1, 2, 2]], 1, None, "CHW", ["a"])
    writer.add_images("list", [PIXELS, PIXELS], 1, dataformats="CHW")
    run = run_of(writer)

    lines = [entry.message for entry in run.log()]
    assert {"add_hparams: named named", "loss: shown, described"} <= set(lines)
    assert {"boxes", "list"} == {item.tag for item in run.media()}
    assert [3, 0] == run.vectors(["step"])["step"].to_pylist()


def test_nothing_of_a_layout_or_a_mesh_is_dropped(writer: SummaryWriter) -> None:
    """Charts of several calls come together; a mesh keeps its configuration."""
    writer.add_custom_scalars_multilinechart(["a", "b"], "one", "first")
    writer.add_custom_scalars_marginchart(["a", "b", "c"], "one", "second")
    writer.add_custom_scalars({"two": {"third": ["Multiline", ["a"]]}})
    writer.add_mesh("m", np.zeros((1, 3, 3)), config_dict={"camera": {"fov": 90}})
    writer.add_embedding(np.eye(2), metadata=np.array([1, 2]))
    with pytest.raises(ValueError, match="1 metadata, 2 vectors"):
        writer.add_embedding(np.eye(2), metadata=["a"])
    run = run_of(writer)

    charts = {"first": ["Multiline", ["a", "b"]], "second": ["Margin", ["a", "b", "c"]]}
    expected = {"one": charts, "two": {"third": ["Multiline", ["a"]]}}
    assert {"custom_scalars": expected} == run.config
    home = Path(run.path) / "artifacts" / "tensorboard"
    assert {"camera": {"fov": 90}} == json.loads((home / "mesh" / "m-config.json").read_text())
    assert [1, 2] == json.loads((home / "embedding" / "default.json").read_text())["metadata"]
