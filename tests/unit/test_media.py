"""Pictures and the like: what may be given, what is stored, what is refused; and who reads it."""

from __future__ import annotations

import io
import itertools
import json
import math
import sys
import wave
from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import expman
from expman import (
    Experiment,
    ExperimentConfig,
    LoggingEngine,
    RecordTooLargeError,
    Run,
    RunClosedError,
)
from expman.media_sending import MOST_IN_LANE
from expman.media_values import audio_of, histogram_of
from expman.storage.media_index import media_name
from expman.storage.media_spool import Spools
from expman.storage.pixels import encode_pixels
from expman.transport import places
from expman.transport.spool_memory import MemorySpools

pytestmark = pytest.mark.usefixtures("standing_writer")

PIL_IMAGE = pytest.importorskip("PIL.Image")
CHANCE = np.random.default_rng(20_261_127)
RGB = CHANCE.integers(0, 256, (20, 30, 3)).astype("uint8")
LARGE = CHANCE.integers(0, 256, (400, 300, 3)).astype("uint8")


@pytest.fixture
def run(run_base: Path) -> Iterator[Experiment]:
    """A run; the test ends it."""
    run = Experiment("media", base_dir=run_base, redirect_console=False, quiet=True)
    yield run
    run.close()


def stored(run: Experiment) -> np.ndarray[Any, Any]:
    """The last picture of a run."""
    run.flush()
    return np.asarray(PIL_IMAGE.open(Run(run.run_dir).media(kind="image")[-1].path))


def pil(mode: str) -> Any:
    return PIL_IMAGE.fromarray(RGB).convert(mode)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        pytest.param(RGB, RGB, id="hwc"),
        pytest.param(np.moveaxis(RGB, 2, 0), RGB, id="chw-not-contiguous"),
        pytest.param(np.moveaxis(RGB, 2, 0).copy(), RGB, id="chw"),
        pytest.param(RGB[:, :, 0], RGB[:, :, 0], id="hw"),
        pytest.param(RGB[:, :, :1], RGB[:, :, 0], id="one-channel"),
        pytest.param(RGB / 255, RGB, id="float64"),
        pytest.param((RGB / 255).astype("float32"), RGB, id="float32"),
        pytest.param(RGB[::2, ::3] / 255, RGB[::2, ::3], id="float-not-contiguous"),
        pytest.param((RGB > 99)[..., 0], (RGB > 99)[..., 0] * np.uint8(255), id="bool"),
        pytest.param(np.float16([[0, 1]]), np.uint8([[0, 255]]), id="float16"),
        pytest.param([[0, 255], [7, 8]], np.uint8([[0, 255], [7, 8]]), id="lists"),
        pytest.param([[0.0, 1.0]], np.uint8([[0, 255]]), id="lists-of-floats"),
        pytest.param(memoryview(RGB), RGB, id="buffer"),
        pytest.param(pil("RGB"), RGB, id="pil"),
        pytest.param(pil("L"), np.asarray(pil("L")), id="pil-gray"),
        pytest.param(pil("RGBA"), np.asarray(pil("RGBA")), id="pil-alpha"),
        pytest.param(pil("P"), np.asarray(pil("P").convert("RGB")), id="pil-palette"),
    ],
)
def test_each_kind_of_picture(run: Experiment, image: Any, expected: Any) -> None:
    """Every value of the picture is in the file."""
    run.log_image("sample", image, 3)
    assert expected.tolist() == stored(run).tolist()


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shared memory has no room for spools."""
    monkeypatch.setattr(places, "free_bytes", lambda _: 0)


def spools_of(run: Experiment) -> list[str]:
    """The names of its spools in shared memory."""
    lane = run.engine._lane
    return places.list_names(places.SHM, f"{lane.address.segment(lane.lane)}-m")


def test_a_large_picture_comes_through_memory_that_is_used_again(run: Experiment) -> None:
    """No file has it, and the run's end leaves no memory behind."""
    for number in range(3):
        large = np.full((300, 400, 3), number, "uint8")
        run.log_image("large", large, number)
        assert large.tolist() == stored(run).tolist()
        assert 1 == len(names := spools_of(run))
        assert [] == list(Path(run.run_dir, ".artifacts-staging").glob("*.spool"))
    run.close()
    assert not any(map(places.exists, [places.SHM], names))


@pytest.mark.usefixtures("no_memory")
def test_a_large_picture_comes_through_a_file_that_is_used_again(run: Experiment) -> None:
    """Where shared memory has no room; and the run's end leaves none behind."""
    for number in range(3):
        large = np.full((300, 400, 3), number, "uint8")
        assert large.nbytes > MOST_IN_LANE
        run.log_image("large", large, number)
        assert large.tolist() == stored(run).tolist()
        assert 1 == len(list(Path(run.run_dir, ".artifacts-staging").glob("*.spool")))
    run.close()
    assert not Path(run.run_dir, ".artifacts-staging").exists()


def test_a_call_that_waits_takes_the_memory_that_comes_free(
    run: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only a file: those of the run may be full for long."""
    put, calls = MemorySpools.put, itertools.count()
    busy = lambda *args: None if next(calls) < 2 else put(*args)  # noqa: E731
    monkeypatch.setattr(MemorySpools, "put", busy)
    monkeypatch.setattr(Spools, "put", lambda *_: None)
    run.log_image("large", LARGE)
    assert LARGE.tolist() == stored(run).tolist()
    assert 1 == len(spools_of(run))


@pytest.mark.parametrize("image", [np.moveaxis(LARGE, 2, 0), LARGE[::-1, ::2], LARGE / 255])
def test_large_pictures_of_each_layout(run: Experiment, image: Any) -> None:
    """Strided arrays and floats travel through memory, too."""
    run.log_image("large", image)
    image = np.round(image * 255) if image.dtype == "float64" else image
    image = np.moveaxis(image, 0, 2) if image.shape[0] == 3 else image
    assert image.tolist() == stored(run).tolist()
    assert 1 == len(spools_of(run))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_samples_are_the_same_with_and_without_numpy(
    monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    """Rounded alike, and refused alike."""
    sound = np.concatenate([CHANCE.uniform(-1, 1, 1000), [-1, 0, 1, 0.5 / 32767]]).astype(dtype)
    plain = array(sound.dtype.char, sound.tobytes())
    quick = audio_of("a", sound, "wav", 8000).data
    with pytest.raises(ValueError, match="or NaN"):
        audio_of("a", np.float32([0, math.nan]), "wav", 8000)
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "numpy")
        assert quick == audio_of("a", plain, "wav", 8000).data
        with pytest.raises(ValueError, match="or NaN"):
            audio_of("a", array("f", [0, math.nan]), "wav", 8000)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.001, 1.001])
def test_a_large_picture_of_floats_is_refused(run: Experiment, dtype: str, bad: float) -> None:
    """Wherever the bad value is; nothing is logged. -0.0 and 1 are within 0 and 1."""
    large = np.full((500, 400), 0.25, dtype)
    large[499, 399] = bad
    with pytest.raises(ValueError, match=r"'large' of shape \(500, 400\) has "):
        run.log_image("large", large)
    large[499, 399] = -0.0
    large[0, 0] = 1
    run.log_image("large", large)
    large[499, 399] = 0.0
    run.log_image("large", large)
    run.flush()
    for item in Run(run.run_dir).media():
        assert (large * 255).round().tolist() == np.asarray(PIL_IMAGE.open(item.path)).tolist()
    assert 2 == len(Run(run.run_dir).media())


def test_an_interrupted_call_gives_no_spool_away(
    run: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C may come after the record was published: the next picture goes elsewhere."""
    publish = run.engine._lane.publish

    def interrupted(*fields: Any, **options: Any) -> bool:
        publish(*fields, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run.engine._lane, "publish", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run.log_image("large", LARGE, 1)
    run.log_image("large", 255 - LARGE, 2)
    run.flush()
    first, second = (np.asarray(PIL_IMAGE.open(one.path)) for one in Run(run.run_dir).media())
    assert [LARGE.tolist(), (255 - LARGE).tolist()] == [first.tolist(), second.tolist()]


def test_threads_share_no_spool(run: Experiment) -> None:
    """Each picture has the bytes that its call was given."""

    def log(thread: int) -> None:
        for number in range(8):
            value = 32 * thread + number
            run.log_image("sample", np.full((300, 300), value, "uint8"), value)

    with ThreadPoolExecutor(4) as threads:
        assert [None] * 4 == list(threads.map(log, range(4)))
    run.flush()
    items = Run(run.run_dir).media()
    assert 32 == len(items)
    for item in items:
        assert [item.step] == np.unique(PIL_IMAGE.open(item.path)).tolist()


def test_a_picture_that_is_encoded_is_stored_as_it_is(run: Experiment, tmp_path: Path) -> None:
    """Bytes and files keep their format."""
    file = io.BytesIO()
    PIL_IMAGE.fromarray(RGB).save(file, "JPEG")
    path = tmp_path / "picture"
    path.write_bytes(file.getvalue())
    run.log_image("bytes", file.getvalue())
    run.log_image("path", path)
    run.flush()
    for item in Run(run.run_dir).media():
        assert file.getvalue() == Path(item.path).read_bytes()
        assert item.file.endswith(".jpg")


@pytest.mark.parametrize(
    ("image", "error", "named"),
    [
        (np.zeros((2, 4, 5), "uint8"), ValueError, r"'sample' has the shape \(2, 4, 5\)"),
        (np.zeros((2, 3, 4, 3), "uint8"), ValueError, r"'sample' has the shape \(2, 3, 4, 3\)"),
        (np.zeros((0, 4), "uint8"), ValueError, r"'sample' has the shape \(0, 4\): it is empty"),
        (np.zeros(4, "uint8"), ValueError, r"'sample' has the shape \(4,\)"),
        (np.zeros((4, 4), "int64"), TypeError, r"'sample' of shape \(4, 4\) .* type int64"),
        (np.full((4, 4), math.nan), ValueError, r"'sample' of shape \(4, 4\) .* not finite"),
        (np.full((4, 4), 200.0), ValueError, "from 200 to 200, which must be within 0 and 1"),
        (b"no picture", ValueError, "'sample': 10 bytes is not a picture"),
        (__file__, ValueError, "'sample': file .* is not a picture"),
        ([[1, 2], [3]], ValueError, "'sample': the lists have different lengths"),
        ([[1, 999]], ValueError, "'sample': lists need floats, or integers within 0 and 255"),
        ([1, 2, 3], TypeError, "'sample' is a list of 3 numbers, not of rows; pass an array"),
        ((0.5,), TypeError, "'sample' is a tuple of 1 number, not of rows; pass an array"),
        ([], ValueError, "'sample'"),
        (object(), TypeError, "'sample' is object"),
        ("/nowhere/at/all", FileNotFoundError, "/nowhere"),
    ],
)
def test_no_picture(run: Experiment, image: Any, error: type[Exception], named: str) -> None:
    """The call raises, naming the tag and what is wrong, and nothing else is harmed."""
    with pytest.raises(error, match=named):
        run.log_image("sample", image)
    run.log_vector({"loss": 0.5})
    run.flush()
    assert [] == Run(run.run_dir).media()


def test_a_grid(run: Experiment) -> None:
    """Pictures stand side by side with a gap; channels may come first."""
    images = [np.full((4, 5, 3), number, "uint8") for number in (1, 2, 3)]
    run.log_images("grid", images)
    found = stored(run)
    assert (4 + 2 + 4, 5 + 2 + 5, 3) == found.shape
    assert [1, 2, 3, 0] == [int(found[y, x, 0]) for y, x in ((0, 0), (0, 7), (6, 0), (6, 7))]
    run.log_images("grid", np.moveaxis(np.stack(images), 3, 1), columns=3)
    assert (4, 5 * 3 + 4, 3) == stored(run).shape
    with pytest.raises(ValueError, match="one shape"):
        run.log_images("grid", [images[0], images[1][:2]])


def test_sounds_videos_texts_and_tables(run: Experiment) -> None:
    """Each kind is stored as a file that others can read."""
    run.log_audio("tone", np.sin(np.arange(800) / 5), 1, sample_rate=8000)
    run.log_audio("stereo", np.zeros((10, 2), "int16"), 1, sample_rate=8000)
    run.log_audio("bytes", b"ogg", 1, "ogg")
    run.log_video("frames", CHANCE.integers(0, 256, (4, 9, 8, 3)).astype("uint8"), 2)
    run.log_video("bytes", b"mp4", 2)
    run.log_text("answer", "42 ä", 3)
    run.log_table("rows", [{"a": 1, "b": "x"}, {"a": None}], 4)
    run.log_table("arrow", pa.table({"c": [1.5]}))
    run.log_confusion_matrix("classes", np.array([[5, 1], [0, 7]]), 5, ["cat", "dog"])
    run.close()
    found = Run(run.run_dir)
    by_tag = {(item.kind, item.tag): Path(item.path) for item in found.media()}
    with wave.open(str(by_tag["audio", "tone"])) as tone:
        assert (1, 8000, 800) == (tone.getnchannels(), tone.getframerate(), tone.getnframes())
    with wave.open(str(by_tag["audio", "stereo"])) as stereo:
        assert (2, 10) == (stereo.getnchannels(), stereo.getnframes())
    assert by_tag["audio", "bytes"].suffix == ".ogg"
    with PIL_IMAGE.open(by_tag["video", "frames"]) as video:
        assert (4, (8, 9)) == (video.n_frames, video.size)
    assert b"mp4" == by_tag["video", "bytes"].read_bytes()
    assert "42 ä" == by_tag["text", "answer"].read_text()
    assert [{"a": 1, "b": "x"}, {"a": None, "b": None}] == found.tables()["rows"].to_pylist()
    assert [1.5] == found.tables("arrow")["arrow"]["c"].to_pylist()
    matrix = json.loads(by_tag["confusion_matrix", "classes"].read_text())
    assert {"labels": ["cat", "dog"], "matrix": [[5, 1], [0, 7]]} == matrix


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda run: run.log_audio("a", np.zeros(3)), "'a': samples need sample_rate"),
        (lambda run: run.log_audio("a", [2.0], sample_rate=1), "'a' of shape .1,. has floats"),
        (lambda run: run.log_audio("a", b"", extension="../x"), "extension"),
        (lambda run: run.log_video("v", np.zeros((2, 2), "uint8")), "'v' has the shape"),
        (lambda run: run.log_video("v", np.zeros((2, 2, 2), "uint8"), fps=0), "'v': fps"),
        (lambda run: run.log_text("t", 5), "'t' is int"),
        (lambda run: run.log_table("t", [1]), "'t'"),
        (lambda run: run.log_table("t", [{"a": 1}, {"a": "x"}]), "'t'"),
        (lambda run: run.log_figure("f", 5), "'f' is int"),
        (lambda run: run.log_confusion_matrix("c", [[1, 2]]), r"'c' has the shape \(1, 2\)"),
        (lambda run: run.log_confusion_matrix("c", [[1]], labels=["a", "b"]), "2 labels"),
        (lambda run: run.log_histogram("h"), "'h' needs either values"),
        (lambda run: run.log_histogram("h", [1], edges=[0, 1], counts=[1]), "'h' needs either"),
        (lambda run: run.log_histogram("h", edges=[0, 1], counts=[1, 2]), "'h': edges must be"),
        (lambda run: run.log_histogram("h", edges=[1, 0], counts=[1]), "'h': edges must be"),
        (lambda run: run.log_histogram("h", [1], bins=0), "'h': bins"),
        (lambda run: run.log_histogram("h", ["a"]), "'h': values"),
        (lambda run: run.log_histogram("h", np.array(["a"])), "'h' of shape"),
        (lambda run: run.log_image("", RGB), "tag"),
        (lambda run: run.log_image(5, RGB), "tag"),
        (lambda run: run.log_image("i", RGB, "x"), "step"),
    ],
)
def test_mistakes_raise_at_the_call(run: Experiment, call: Any, named: str) -> None:
    """Naming the tag; nothing is logged."""
    with pytest.raises((TypeError, ValueError), match=named):
        call(run)
    run.flush()
    assert ([], []) == (Run(run.run_dir).media(), Run(run.run_dir).histograms())


@pytest.mark.parametrize("kind", [list, np.array, lambda values: np.array(values, "float32")])
def test_values_that_are_not_finite_are_counted(run: Experiment, kind: Any) -> None:
    """They are in no bin; all of them may be NaN."""
    run.log_histogram("some", kind([1.0, 2.0, 2.0, math.nan, math.inf]), 1, bins=2)
    run.log_histogram("all", kind([math.nan, -math.inf]), 2, bins=2)
    run.log_histogram("none", kind([]), 3, bins=2)
    run.log_histogram("same", kind([3.0, 3.0]), 4, bins=2)
    run.flush()
    some, every, none, same = Run(run.run_dir).histograms()
    assert ([1.0, 1.5, 2.0], [1, 2]) == (some.edges, some.counts)
    assert (3.0, 2) == (some.total, some.not_finite)
    assert (0.0, 2, 0) == (every.total, every.not_finite, none.not_finite)
    assert ([2.5, 3.0, 3.5], [0, 2]) == (same.edges, same.counts)


@pytest.mark.parametrize("kind", [list, np.array])
@pytest.mark.parametrize(
    "values",
    [[-1.7e308, 1.7e308], [1.7e308] * 2, [1e20] * 2, [1e20, 1e20 + 2**15], [5e-324, 1e-323]],
)
def test_no_finite_value_is_too_large_or_close(values: list[float], kind: Any) -> None:
    """A gradient that explodes does not end the training: each value is in a bin."""
    edges, counts, not_finite = histogram_of("h", kind(values), 64)
    assert (2, 0) == (sum(counts), not_finite)
    assert sorted(edges) == edges
    assert all(map(math.isfinite, edges))
    assert edges[0] <= min(values) <= max(values) <= edges[-1]


def test_bins_agree_with_numpy(run: Experiment) -> None:
    """With numpy or without, whatever the values are."""
    values = CHANCE.normal(size=1000)
    counts, edges = np.histogram(values, 10)
    run.log_histogram("array", values, bins=10)
    run.log_histogram("list", values.tolist(), bins=10)
    run.log_histogram("bins", edges=edges, counts=counts)
    run.close()
    for row in Run(run.run_dir).histograms():
        assert np.allclose(edges, row.edges)
        assert counts.tolist() == row.counts


def test_the_functions_of_the_module(run_base: Path) -> None:
    """They mean the current run."""
    with expman.init("media", base_dir=run_base, redirect_console=False, quiet=True) as run:
        expman.log_image("a/b", RGB, 1)
        expman.log_histogram("h", [1, 2], 1)
    assert ["a/b"] == [item.tag for item in Run(run.run_dir).media()]
    (line,) = expman.read_media(run.run_dir)
    assert ("a/b", 1) == (line["tag"], line["step"])
    (row,) = expman.read_histograms(run.run_dir)
    assert ("h", 1, 2.0) == (row["tag"], row["step"], row["total"])
    assert 64 == len(json.loads(str(row["counts"])))


def test_after_the_end(run: Experiment) -> None:
    """The call raises, and makes no file."""
    run.close()
    with pytest.raises(RunClosedError):
        run.log_image("late", np.zeros((300, 300, 3), "uint8"))
    with pytest.raises(RunClosedError):
        run.log_histogram("late", [1])
    assert not Path(run.run_dir, ".artifacts-staging").exists()


def test_no_picture_waits_under_drop(
    run_base: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Those that find no room are counted, in run.yaml, too; the user is warned once."""
    config = ExperimentConfig("media", str(run_base), overflow="drop", max_buffer_bytes=2**18)
    large = np.zeros((280, 280, 3), "uint8")
    with LoggingEngine(config) as engine:
        with monkeypatch.context() as patch:
            patch.setattr(Spools, "put", lambda *_: None)
            patch.setattr(engine._lane, "offer", lambda *_, **__: False)
            engine.log_image("no room", large)
        assert "are dropped" in caplog.text
        with pytest.raises(RecordTooLargeError):
            engine.log_image("never", np.zeros((400, 400, 3), "uint8"))
        engine.log_image("small", RGB)
        with monkeypatch.context() as patch:
            patch.setattr(engine._lane, "offer", lambda *_, **__: False)
            engine.log_histogram("no room at the end", [1])
    run = Run(engine.run_dir)
    assert ["small"] == [item.tag for item in run.media()]
    assert 2 == run.metadata.media_dropped
    assert 1 == caplog.text.count("are dropped")


def test_views_have_the_media(run: Experiment) -> None:
    """A notebook shows small pictures; tags are data, and nothing of them is HTML."""
    run.log_image("<b>", RGB, 1)
    run.log_image("large", CHANCE.integers(0, 256, (400, 400, 3)).astype("uint8"))
    run.log_histogram("h", [1])
    run.close()
    html = Run(run.run_dir)._repr_html_()
    assert 1 == html.count("data:image/png;base64,")
    assert "&lt;b&gt;" in html
    assert "<b><" not in html
    facts = dict(Run(run.run_dir)._observed())
    assert ("<b>, large", "h") == (facts["image"], facts["histogram"])


@given(st.text(min_size=1), st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)))
def test_names_of_files_are_safe(tag: str, step: int | None) -> None:
    """Any text gives a name that every file system has; two records have two names."""
    first, second = (media_name(tag, step, "png", number) for number in ("1-1", "1-2"))
    assert first != second
    assert len(first.encode("utf-8", "surrogatepass")) <= 255
    assert not set(first) & set('/\\:*?"<>|\0\n')
    assert not first.startswith(".")
    assert first.endswith(".png")


def test_pixels_that_do_not_fit_their_shape() -> None:
    """Damage is found before anything is stored."""
    for pixels in (("B", (2, 2), False, 0.0), ("q", (1, 1), False, 0.0), ("B", (1,), False, 0.0)):
        with pytest.raises(ValueError, match=r"shape|type"):
            encode_pixels(b"abc", pixels)
