"""Pictures and the like as `log` takes them. What they are made of is read when they are made."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from typing import Any

from expman.engine import LoggingEngine
from expman.integrations.tensors import array_of
from expman.media_values import Medium

__all__ = [
    "Audio",
    "Classes",
    "Html",
    "Image",
    "Loggable",
    "NumberHistogram",
    "Plotly",
    "Plotted",
    "Video",
]


class Loggable:
    """Something that `log` keeps as a medium."""

    def send(self, engine: LoggingEngine, tag: str, step: int) -> None:
        """Logs it. Durability: published when it returns."""
        raise NotImplementedError


def _send_caption(engine: LoggingEngine, tag: str, step: int, caption: object) -> None:
    if caption is not None:
        engine.log_text(f"{tag}/caption", str(caption), step)


class Image(Loggable):
    """A picture.

    Args:
        data_or_path: an array of shape (height, width) or (height, width, channels); a tensor of
            torch of shape (channels, height, width), or several along a first axis; a PIL image, a
            figure of matplotlib, a path. Floats within 0 and 1 or within -1 and 1 are scaled, other
            numbers are cut to 0 and 255, unless `normalize` is False.
        mode: of PIL, as "RGB" or "L": the picture is converted.
        caption: kept as a text under `TAG/caption`.
        boxes: kept as JSON under `TAG/boxes`.
        masks: each kept as a picture under `TAG/masks/NAME`.
        grouping: not used.
        classes: names of the classes, kept with the boxes.
        file_type: not used: arrays become PNG.
        normalize: scale floats.
    """

    def __init__(
        self,
        data_or_path: Any,
        mode: str | None = None,
        caption: str | None = None,
        grouping: int | None = None,
        classes: Any = None,
        boxes: Mapping[str, Any] | None = None,
        masks: Mapping[str, Any] | None = None,
        file_type: str | None = None,
        normalize: bool = True,
    ) -> None:
        self._caption = caption
        self._boxes = boxes and {"boxes": boxes, "classes": getattr(classes, "class_set", classes)}
        self._masks = {
            str(name): _pixels(array_of(mask["mask_data"]), scale=False)
            for name, mask in (masks or {}).items()
            if "mask_data" in mask
        }
        self._several = False
        self._data = self._read(data_or_path, mode, normalize)

    def _read(self, data: Any, mode: str | None, normalize: bool) -> Any:
        if isinstance(data, Image):
            self._caption = self._caption or data._caption
            return data._data
        if isinstance(data, str | os.PathLike):
            with open(data, "rb") as file:
                data = file.read()
            if mode is None:
                return data
            from PIL import Image as PilImage

            return PilImage.open(io.BytesIO(data)).convert(mode)
        if callable(getattr(data, "convert", None)) and hasattr(data, "mode"):
            return data.convert(mode) if mode else data.copy()
        if callable(getattr(data, "savefig", None)) or callable(getattr(data, "gcf", None)):
            return _drawn(data)
        is_tensor = hasattr(data, "detach")
        pixels = _pixels(array_of(data), scale=normalize)
        self._several = pixels.ndim == 4
        if is_tensor and pixels.ndim >= 3:  # channels come first, whatever the sizes are
            pixels = pixels.transpose(*range(pixels.ndim - 3), -2, -1, -3)
        return pixels

    def send(self, engine: LoggingEngine, tag: str, step: int) -> None:
        """Logs it. Durability: published when it returns."""
        if self._several:
            engine.log_images(tag, list(self._data), step)
        else:
            engine.log_image(tag, self._data, step)
        for name, mask in self._masks.items():
            engine.log_image(f"{tag}/masks/{name}", mask, step)
        if self._boxes:
            engine.log_text(f"{tag}/boxes", json.dumps(self._boxes, default=str), step)
        _send_caption(engine, tag, step, self._caption)


def _drawn(figure: Any) -> bytes:
    """A figure, or pyplot's current one, as PNG: it may be changed after this."""
    file = io.BytesIO()
    (figure.gcf() if callable(getattr(figure, "gcf", None)) else figure).savefig(file, format="png")
    return file.getvalue()


def _pixels(array: Any, *, scale: bool) -> Any:
    """The array as bytes: its own copy."""
    import numpy as np

    if array.dtype == np.uint8:
        return array.copy()
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    numbers = np.nan_to_num(array.astype(np.float64))
    low, high = (numbers.min(), numbers.max()) if numbers.size else (0.0, 1.0)
    if scale and array.dtype.kind == "f" and low >= -1 and high <= 1:
        numbers = numbers * 255 if low >= 0 else (numbers + 1) * 127.5
    return numbers.clip(0, 255).astype(np.uint8)


class Plotted(Loggable):
    """A figure of matplotlib, as `log` is given one without Image."""

    def __init__(self, figure: Any) -> None:
        self._png = _drawn(figure)

    def send(self, engine: LoggingEngine, tag: str, step: int) -> None:
        """Logs it. Durability: published when it returns."""
        engine.log_image(tag, self._png, step)


class NumberHistogram(Loggable):
    """A distribution; its name in wandb is Histogram.

    Args:
        sequence: the numbers, an array of any shape.
        np_histogram: counts and edges, as `numpy.histogram` returns them.
        num_bins: how many bins of one width.
    """

    def __init__(self, sequence: Any = None, np_histogram: Any = None, num_bins: int = 64) -> None:
        if (sequence is None) == (np_histogram is None):
            raise ValueError("Histogram needs either sequence or np_histogram")
        self._values = None if sequence is None else array_of(sequence).ravel().copy()
        self._bins = num_bins
        if np_histogram is not None:
            counts, edges = np_histogram
            self._counts = [int(count) for count in counts]
            self._edges = [float(edge) for edge in edges]

    def send(self, engine: LoggingEngine, tag: str, step: int) -> None:
        """Logs it. Durability: published when it returns."""
        if self._values is not None:
            engine.log_histogram(tag, self._values, step, bins=self._bins)
        else:
            engine.log_histogram(tag, step=step, edges=self._edges, counts=self._counts)


class Audio(Loggable):
    """A sound.

    Args:
        data_or_path: samples of shape (time,) or (time, channels), int16 or floats within -1 and 1;
            or a path.
        sample_rate: samples per second, for samples.
        caption: kept as a text under `TAG/caption`.
    """

    def __init__(
        self, data_or_path: Any, sample_rate: int | None = None, caption: str | None = None
    ) -> None:
        self._caption, self._rate = caption, sample_rate
        if isinstance(data_or_path, str | os.PathLike):
            self._data: Any = os.path.abspath(data_or_path)
            return
        if sample_rate is None:
            raise ValueError("Audio of samples needs sample_rate=")
        samples = array_of(data_or_path)
        whole = samples.dtype.kind in "iu"
        self._data = samples.astype("int16") if whole else samples.clip(-1.0, 1.0).astype("float32")

    def send(self, engine: LoggingEngine, tag: str, step: int) -> None:
        """Logs it. Durability: published when it returns."""
        rate = None if self._rate is None else int(self._rate)
        engine.log_audio(tag, self._data, step, sample_rate=rate)
        _send_caption(engine, tag, step, self._caption)


class Video(Loggable):
    """A video.

    Args:
        data_or_path: uint8 frames of shape (time, channels, height, width), or several videos
            along a first axis; a path; or a file in memory.
        caption: kept as a text under `TAG/caption`.
        fps: frames per second, for frames; 4 if left out.
        format: of a file in memory, as "mp4"; frames become an animated PNG.
    """

    def __init__(
        self,
        data_or_path: Any,
        caption: str | None = None,
        fps: float | None = None,
        format: str | None = None,
    ) -> None:
        self._caption, self._fps, self._format = caption, fps or 4, format or "gif"
        if isinstance(data_or_path, str | os.PathLike):
            self._data: Any = os.path.abspath(data_or_path)
        elif callable(getattr(data_or_path, "getvalue", None)):
            self._data = data_or_path.getvalue()
        else:
            self._data = _pixels(array_of(data_or_path), scale=False)

    def send(self, engine: LoggingEngine, tag: str, step: int) -> None:
        """Logs it. Durability: published when it returns."""
        if isinstance(self._data, str | bytes):
            engine.log_video(tag, self._data, step, self._format)
        elif self._data.ndim == 5:
            for number, frames in enumerate(self._data):
                engine.log_video(f"{tag}/{number}", frames, step, fps=float(self._fps))
        else:
            engine.log_video(tag, self._data, step, fps=float(self._fps))
        _send_caption(engine, tag, step, self._caption)


class Html(Loggable):
    """A page, kept as a text with the extension html.

    Args:
        data: the page, an open file, or a path that ends with `.html`.
        inject: not used: the page stays as it is.
        data_is_not_path: `data` is the page, whatever it looks like.
    """

    def __init__(self, data: Any, inject: bool = True, data_is_not_path: bool = False) -> None:
        if callable(getattr(data, "read", None)):
            data.seek(0)
            text = data.read()
        elif not data_is_not_path and str(data).endswith(".html") and os.path.exists(data):
            with open(data, "rb") as file:
                text = file.read()
        else:
            text = str(data)
        self._data = text if isinstance(text, bytes) else text.encode("utf-8", "backslashreplace")

    def send(self, engine: LoggingEngine, tag: str, step: int) -> None:
        """Logs it. Durability: published when it returns."""
        engine._send_medium("text", tag, step, Medium("html", self._data))


class Plotly(Html):
    """A figure of plotly, kept as a page; a figure of matplotlib is a picture.

    Args:
        val: the figure.
    """

    def __init__(self, val: Any) -> None:
        super().__init__(val.to_html(include_plotlyjs="cdn"), data_is_not_path=True)


class Classes:
    """Names of classes, kept with the boxes of a picture.

    Args:
        class_set: dicts with `id` and `name`.
    """

    def __init__(self, class_set: Any) -> None:
        self.class_set = list(class_set)

    def __str__(self) -> str:
        return str(self.class_set)
