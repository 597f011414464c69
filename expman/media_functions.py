"""The functions of the module that log pictures and the like to the current run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from expman.functions import active_run

__all__ = [
    "log_audio",
    "log_confusion_matrix",
    "log_figure",
    "log_histogram",
    "log_image",
    "log_images",
    "log_table",
    "log_text",
    "log_video",
]


def log_image(tag: str, image: Any, step: int | None = None) -> None:
    """Logs a picture to the current run. See LoggingEngine.log_image."""
    active_run("log_image").log_image(tag, image, step)


def log_images(
    tag: str, images: Iterable[Any], step: int | None = None, columns: int | None = None
) -> None:
    """Logs several pictures as one to the current run. See LoggingEngine.log_images."""
    active_run("log_images").log_images(tag, images, step, columns)


def log_figure(tag: str, figure: Any, step: int | None = None) -> None:
    """Logs a figure of matplotlib to the current run. See LoggingEngine.log_figure."""
    active_run("log_figure").log_figure(tag, figure, step)


def log_histogram(
    tag: str,
    values: Any = None,
    step: int | None = None,
    bins: int = 64,
    edges: Iterable[float] | None = None,
    counts: Iterable[int] | None = None,
) -> None:
    """Logs a distribution to the current run. See LoggingEngine.log_histogram."""
    active_run("log_histogram").log_histogram(tag, values, step, bins, edges, counts)


def log_audio(
    tag: str,
    data: Any,
    step: int | None = None,
    extension: str = "wav",
    *,
    sample_rate: int | None = None,
) -> None:
    """Logs a sound to the current run. See LoggingEngine.log_audio."""
    active_run("log_audio").log_audio(tag, data, step, extension, sample_rate=sample_rate)


def log_video(
    tag: str, data: Any, step: int | None = None, extension: str = "mp4", *, fps: float = 10.0
) -> None:
    """Logs a video to the current run. See LoggingEngine.log_video."""
    active_run("log_video").log_video(tag, data, step, extension, fps=fps)


def log_text(tag: str, text: str, step: int | None = None) -> None:
    """Logs a text to the current run. See LoggingEngine.log_text."""
    active_run("log_text").log_text(tag, text, step)


def log_table(tag: str, table: Any, step: int | None = None) -> None:
    """Logs a table to the current run. See LoggingEngine.log_table."""
    active_run("log_table").log_table(tag, table, step)


def log_confusion_matrix(
    tag: str, matrix: Any, step: int | None = None, labels: Sequence[str] | None = None
) -> None:
    """Logs a confusion matrix to the current run. See LoggingEngine.log_confusion_matrix."""
    active_run("log_confusion_matrix").log_confusion_matrix(tag, matrix, step, labels)
