"""The calls that log pictures, sounds, distributions, texts and tables."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from expman import media_values
from expman.late_imports import no_fork
from expman.media_values import Medium
from expman.shown import shown, type_name

__all__ = ["MediaCalls"]


class MediaCalls:
    """Pictures and the like: encoded and stored by the writer, in `media/` of the run.

    A tag is any text, and `step` a whole number or None. flush() and close() wait until the files
    are durable. Under `overflow="drop"`, what finds no room is dropped and counted.

    Raises:
        TypeError, ValueError: naming the tag and the shape; nothing was logged.
        RecordTooLargeError: what is logged is larger than the buffer.
        RunClosedError: after close().
    """

    def _send_medium(self, kind: str, tag: str, step: object, medium: Medium) -> None:
        raise NotImplementedError

    def _send_histogram(
        self, tag: str, step: object, edges: list[float], counts: list[int], not_finite: int
    ) -> None:
        raise NotImplementedError

    def log_image(self, tag: str, image: Any, step: int | None = None) -> None:
        """Logs a picture.

        Args:
            tag: what it shows.
            image: an array (numpy, a torch tensor, nested lists) of shape (height, width),
                (height, width, channels) or (channels, height, width) with 1, 3 or 4 channels, of
                uint8, bool, or floats within 0 and 1; a PIL image; a figure of matplotlib; a path
                or the bytes of a PNG, JPEG, GIF, WebP, BMP or TIFF file. In nested lists, integers
                count from 0 to 255, as uint8 does, and floats from 0 to 1.
            step: a whole number, or None.

        An array is copied once, and becomes a PNG in the writer.

        Durability: published when it returns; it survives the death of this process.

        Raises:
            TypeError, ValueError: naming the tag, the shape, and what is accepted.
            FileNotFoundError, PermissionError: the path cannot be read.
        """
        tag = _tag(tag)
        self._send_medium("image", tag, step, media_values.image_of(tag, image))

    def log_images(
        self, tag: str, images: Iterable[Any], step: int | None = None, columns: int | None = None
    ) -> None:
        """Logs pictures of one shape as one, side by side in rows.

        They are put together here, in Python: it takes some milliseconds.

        Args:
            tag: what they show.
            images: arrays as for `log_image`, or one array with them along its first axis.
            step: a whole number, or None.
            columns: pictures in a row; as many as rows if left out.

        Durability: published when it returns.

        Raises:
            TypeError, ValueError: naming the tag, the shape, and what is accepted.
        """
        with no_fork():
            from expman.media_grid import grid_of

        tag = _tag(tag)
        self._send_medium("image", tag, step, grid_of(tag, images, columns))

    def log_figure(self, tag: str, figure: Any, step: int | None = None) -> None:
        """Logs a figure of matplotlib as a PNG.

        It is drawn here, by `figure.savefig`: that takes tens to hundreds of milliseconds of this
        process. Draw seldom, or log the numbers.

        Durability: published when it returns.

        Raises:
            TypeError: it is not a figure.
        """
        tag = _tag(tag)
        self._send_medium("image", tag, step, media_values.figure_of(tag, figure))

    def log_histogram(
        self,
        tag: str,
        values: Any = None,
        step: int | None = None,
        bins: int = 64,
        edges: Iterable[float] | None = None,
        counts: Iterable[int] | None = None,
    ) -> None:
        """Logs a distribution, as a row of `histograms.parquet`.

        The values are counted here: of an array by numpy, some milliseconds for a million; of
        others one by one. Only the counts travel, so that a histogram costs what a row costs.
        NaN and infinite values are in no bin; `not_finite` counts them.

        Args:
            tag: what is distributed.
            values: numbers: an array of any shape, or any iterable.
            step: a whole number, or None.
            bins: how many bins of one width, from the least to the greatest finite value.
            edges: of bins that are counted already, ascending, one more than `counts`.
            counts: values in each bin.

        Durability: published when it returns, as a row is.

        Raises:
            TypeError, ValueError: naming the tag and the rule.
        """
        tag = _tag(tag)
        if (edges is None) != (counts is None) or (values is None) == (edges is None):
            raise ValueError(f"histogram {tag!r} needs either values, or edges= and counts=")
        if edges is not None and counts is not None:
            self._send_histogram(tag, step, *media_values.checked_bins(tag, edges, counts), 0)
        else:
            self._send_histogram(tag, step, *media_values.histogram_of(tag, values, bins))

    def log_audio(
        self,
        tag: str,
        data: Any,
        step: int | None = None,
        extension: str = "wav",
        *,
        sample_rate: int | None = None,
    ) -> None:
        """Logs a sound.

        Args:
            tag: what it is.
            data: encoded bytes, or the path of a file, stored as they are; or samples of shape
                (time,) or (time, channels), int16 or floats within -1 and 1: these become a WAV
                here, which takes some milliseconds for a million floats if numpy is loaded, and a
                tenth of a second if not.
            step: a whole number, or None.
            extension: of the file's name, for bytes.
            sample_rate: samples per second, for samples.

        Durability: published when it returns.

        Raises:
            TypeError, ValueError: naming the tag, the shape, and what is accepted.
            FileNotFoundError, PermissionError: the path cannot be read.
        """
        tag = _tag(tag)
        medium = media_values.audio_of(tag, data, _extension(tag, extension), sample_rate)
        self._send_medium("audio", tag, step, medium)

    def log_video(
        self,
        tag: str,
        data: Any,
        step: int | None = None,
        extension: str = "mp4",
        *,
        fps: float = 10.0,
    ) -> None:
        """Logs a video.

        Args:
            tag: what it shows.
            data: encoded bytes, or the path of a file, stored as they are; or frames of shape
                (time, height, width), (time, height, width, channels) or (time, channels, height,
                width), as for `log_image`: these become an animated PNG in the writer.
            step: a whole number, or None.
            extension: of the file's name, for bytes.
            fps: frames per second, for frames.

        Durability: published when it returns.

        Raises:
            TypeError, ValueError: naming the tag, the shape, and what is accepted.
            FileNotFoundError, PermissionError: the path cannot be read.
        """
        tag = _tag(tag)
        if isinstance(data, str | os.PathLike | bytes | bytearray):
            medium = media_values.file_of(data, _extension(tag, extension))
        else:
            medium = media_values.frames_of(tag, data, fps)
        self._send_medium("video", tag, step, medium)

    def log_text(self, tag: str, text: str, step: int | None = None) -> None:
        """Logs a text, as a file of its own: a sample of a language model, say.

        Durability: published when it returns.

        Raises:
            TypeError: it is not text.
        """
        tag = _tag(tag)
        if not isinstance(text, str):
            raise TypeError(f"text {tag!r} is {type_name(text)}, not text; use a str")
        data = str.__str__(text).encode("utf-8", "backslashreplace")
        self._send_medium("text", tag, step, Medium("txt", data))

    def log_table(self, tag: str, table: Any, step: int | None = None) -> None:
        """Logs a table, as a Parquet file.

        It is made here, with pyarrow, which the first call imports: that may take a second.

        Args:
            tag: what it has.
            table: a list of dicts, a DataFrame of pandas or polars, or anything that Arrow takes.
            step: a whole number, or None.

        Durability: published when it returns.

        Raises:
            TypeError, ValueError: naming the tag: it is no table, or a column has several types.
        """
        with no_fork():
            from expman.storage.table_bytes import parquet_of

        tag = _tag(tag)
        self._send_medium("table", tag, step, Medium("parquet", parquet_of(tag, table)))

    def log_confusion_matrix(
        self,
        tag: str,
        matrix: Any,
        step: int | None = None,
        labels: Sequence[str] | None = None,
    ) -> None:
        """Logs how often each class was taken for each, as a JSON file.

        Args:
            tag: what is classified.
            matrix: whole numbers, square: a row for each class as it is, a column for each class
                as it was predicted. An array, or lists.
            step: a whole number, or None.
            labels: names of the classes; their numbers if left out.

        Durability: published when it returns.

        Raises:
            TypeError, ValueError: naming the tag, the shape, and what is accepted.
        """
        tag = _tag(tag)
        rows = matrix.tolist() if hasattr(matrix, "tolist") else matrix
        try:
            counts = [[int(count) for count in row] for row in rows]
        except (TypeError, ValueError, OverflowError) as exc:
            raise TypeError(
                f"confusion matrix {tag!r} must have rows of whole numbers: {exc}"
            ) from exc
        sizes = {len(row) for row in counts}
        if sizes != {len(counts)}:
            shape = (len(counts), max(sizes, default=0))
            raise ValueError(f"confusion matrix {tag!r} has the shape {shape}; it must be square")
        names = [str(number) for number in range(len(counts))] if labels is None else labels
        names = [str(name) for name in names]
        if len(names) != len(counts):
            raise ValueError(
                f"confusion matrix {tag!r}: {len(names)} labels, {len(counts)} classes"
            )
        data = msgspec.json.encode({"labels": names, "matrix": counts})
        self._send_medium("confusion_matrix", tag, step, Medium("json", data))


_MOST_TAG_CHARS = 4096


def _tag(tag: object) -> str:
    if not isinstance(tag, str):
        raise TypeError(f"tag {shown(tag)} is {type_name(tag)}, not text; use a str")
    plain = tag if type(tag) is str else str.__str__(tag)
    if not plain or len(plain) > _MOST_TAG_CHARS:
        raise ValueError(f"tag {shown(tag)} must have 1 to {_MOST_TAG_CHARS:,} characters")
    return plain if plain.isascii() else plain.encode("utf-8", "backslashreplace").decode()


def _extension(tag: str, extension: object) -> str:
    plain = extension.removeprefix(".") if isinstance(extension, str) else ""
    if not (plain.isascii() and plain.isalnum() and len(plain) <= 16):
        raise ValueError(
            f"{tag!r}: extension {shown(extension)} must be letters and digits, as 'wav'"
        )
    return plain
