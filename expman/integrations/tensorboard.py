"""SummaryWriter, with the methods of torch.utils.tensorboard and tensorboardX.

It needs neither of them, nor torch: tensors are read through numpy.
"""

from __future__ import annotations

import builtins
import datetime
import os
import socket
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from expman import current_run
from expman.engine import LoggingEngine
from expman.experiment import Experiment
from expman.integrations.tensorboard_kept import KeptCalls
from expman.integrations.tensors import (
    array_of,
    number_of,
    ordered,
    picture_of,
    pixels_of,
    step_of,
)
from expman.transport.values import LEAST_TIME_NS

__all__ = ["SummaryWriter"]


class SummaryWriter(KeptCalls):
    """Records what TensorBoard's SummaryWriter is given in a run.

    The run's directory is `log_dir`: what its last two folders are named is the experiment and the
    run. Without `log_dir` it is the current run of `expman.init()`, or a new one below `runs/`
    (`EXPMAN_BASE_DIR`, if that is set). A directory that exists gets a suffix.

    Scalars become rows, with the time `walltime` if that is given; histograms, images, sounds,
    videos and texts become media; hyperparameters become parameters. What a run has no kind for, a
    graph, an embedding, a mesh, is kept as an artifact below `tensorboard/`, and run.log names it.

    Args:
        log_dir: where the run is.
        comment: put behind the name of a run that has no `log_dir`.
        purge_step: not used: every row is kept.
        max_queue: not used: nothing is queued.
        flush_secs: not used: a call that has returned is kept.
        filename_suffix: not used.
        logdir: tensorboardX's name of `log_dir`.
        settings: what else `expman.Experiment` takes; other arguments of tensorboardX are not used.

    Raises:
        ExpmanError: the run cannot be begun.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
        *,
        logdir: str | os.PathLike[str] | None = None,
        **settings: Any,
    ) -> None:
        place = log_dir if log_dir is not None else logdir
        for name in ("write_to_disk", "comet_config"):
            settings.pop(name, None)
        self._own: Experiment | None = None
        found = current_run.current() if place is None else None
        if found is not None and not found.engine.has_ended:
            self._run = found
        else:
            self._run = self._own = _begin(place, comment, settings)
        self._engine: LoggingEngine = self._run.engine
        self._noted: set[str] = set()
        if purge_step is not None:
            self._note(f"purge_step={purge_step} is not applied: every row is kept")

    # -- scalars ------------------------------------------------------------------------

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
        **_: object,
    ) -> None:
        """Logs a row with one metric; it is published when the call returns."""
        self._row({tag: scalar_value}, global_step, walltime)

    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: Mapping[str, Any],
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Logs a row with a metric `main_tag/tag` for each."""
        row = {f"{main_tag}/{tag}": value for tag, value in tag_scalar_dict.items()}
        self._row(row, global_step, walltime)

    def _row(self, values: dict[str, Any], step: int | None, walltime: float | None) -> None:
        plain = {tag: number_of(value) for tag, value in values.items()}
        at_ns = None if walltime is None else builtins.max(int(walltime * 1e9), LEAST_TIME_NS)
        self._engine.log_row_at(plain, step_of(step), at_ns)

    def add_hparams(
        self,
        hparam_dict: Mapping[str, Any],
        metric_dict: Mapping[str, Any],
        hparam_domain_discrete: Mapping[str, Any] | None = None,
        run_name: str | None = None,
        global_step: int | None = None,
        **_: object,
    ) -> None:
        """Records parameters, and each metric as a scalar of the run and in a row."""
        self._engine.log_params(dict(hparam_dict))
        for name, value in metric_dict.items():
            self._engine.log_scalar(name, number_of(value))
        if metric_dict:
            self._row(dict(metric_dict), global_step, None)

    # -- distributions ------------------------------------------------------------------

    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: int | None = None,
        bins: Any = "tensorflow",
        walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:
        """Logs a histogram; of 64 bins, unless `bins` is a number or a sequence of edges."""
        array = array_of(values).ravel()
        if isinstance(bins, str):
            self._engine.log_histogram(tag, array, step_of(global_step), bins=max_bins or 64)
        elif isinstance(bins, int):
            self._engine.log_histogram(tag, array, step_of(global_step), bins=bins)
        else:
            import numpy as np

            counts, edges = np.histogram(array, bins=array_of(bins))
            self._binned(tag, edges, counts, global_step)

    def add_histogram_raw(
        self,
        tag: str,
        min: float,
        max: float,
        num: int,
        sum: float,
        sum_squares: float,
        bucket_limits: Sequence[float],
        bucket_counts: Sequence[int],
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Logs bins that are counted: the first one begins at `min`, the last one ends at `max`."""
        limits = [float(limit) for limit in bucket_limits]
        edges = [builtins.min(float(min), limits[0]), *limits]
        if edges[-1] > 1e300:  # TensorBoard's last bin has no end
            edges[-1] = builtins.max(float(max), edges[-2])
        self._binned(tag, edges, bucket_counts, global_step)

    def _binned(self, tag: str, edges: Any, counts: Any, step: int | None) -> None:
        whole = [int(count) for count in counts]
        self._engine.log_histogram(
            tag, step=step_of(step), edges=[float(edge) for edge in edges], counts=whole
        )

    def add_pr_curve(
        self,
        tag: str,
        labels: Any,
        predictions: Any,
        global_step: int | None = None,
        num_thresholds: int = 127,
        weights: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Logs precision and recall for each threshold, as a table."""
        import numpy as np

        truth = array_of(labels).ravel().astype(bool)
        scores = array_of(predictions).ravel().astype(float)
        weight = np.ones(len(scores)) if weights is None else array_of(weights).ravel()
        thresholds = np.linspace(0.0, 1.0, num_thresholds)
        taken = scores[None, :] >= thresholds[:, None]
        tp, fp = (taken * truth * weight).sum(axis=1), (taken * ~truth * weight).sum(axis=1)
        fn = (truth * weight).sum() - tp
        tn = (~truth * weight).sum() - fp
        with np.errstate(invalid="ignore", divide="ignore"):
            precision, recall = tp / (tp + fp), tp / (tp + fn)
        self._curve(tag, thresholds, tp, fp, tn, fn, precision, recall, global_step)

    def add_pr_curve_raw(
        self,
        tag: str,
        true_positive_counts: Any,
        false_positive_counts: Any,
        true_negative_counts: Any,
        false_negative_counts: Any,
        precision: Any,
        recall: Any,
        global_step: int | None = None,
        num_thresholds: int = 127,
        weights: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Logs a curve that is computed already, as a table."""
        count = len(array_of(precision))
        thresholds = [number / builtins.max(count - 1, 1) for number in range(count)]
        columns = (true_positive_counts, false_positive_counts, true_negative_counts)
        self._curve(
            tag, thresholds, *columns, false_negative_counts, precision, recall, global_step
        )

    def _curve(self, tag: str, *columns: Any) -> None:
        *numbers, step = columns
        names = ("threshold", "tp", "fp", "tn", "fn", "precision", "recall")
        lists = [[float(value) for value in array_of(column)] for column in numbers]
        rows = [dict(zip(names, row, strict=True)) for row in zip(*lists, strict=True)]
        self._engine.log_table(tag, rows, step_of(step))

    # -- media --------------------------------------------------------------------------

    def add_image(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "CHW",
    ) -> None:
        """Logs a picture whose axes are named by `dataformats`: CHW, HWC or HW."""
        self._engine.log_image(tag, picture_of(img_tensor, dataformats), step_of(global_step))

    def add_images(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "NCHW",
    ) -> None:
        """Logs pictures side by side; their axes are named by `dataformats`: NCHW, NHWC, …."""
        pictures = ordered(array_of(img_tensor), dataformats, "NHWC")
        self._engine.log_images(tag, [pixels_of(one) for one in pictures], step_of(global_step))

    def add_image_with_boxes(
        self,
        tag: str,
        img_tensor: Any,
        box_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        rescale: float = 1,
        dataformats: str = "CHW",
        labels: Sequence[str] | None = None,
        **_: object,
    ) -> None:
        """Logs a picture with boxes (x0, y0, x1, y1) drawn into it; needs Pillow."""
        try:
            from PIL import Image, ImageDraw
        except ImportError:
            self._note("boxes are not drawn: pip install 'expman-sidecar[media]'")
            self.add_image(tag, img_tensor, global_step, walltime, dataformats)
            return
        pixels = picture_of(img_tensor, dataformats)
        image = Image.fromarray(pixels).convert("RGB")
        draw = ImageDraw.Draw(image)
        for number, box in enumerate(array_of(box_tensor).reshape(-1, 4).tolist()):
            draw.rectangle(box, outline="red")
            if labels is not None and number < len(labels):
                draw.text((box[0], box[1]), str(labels[number]), fill="red")
        size = (round(image.width * rescale), round(image.height * rescale))
        self._engine.log_image(tag, image.resize(size), step_of(global_step))

    def add_figure(
        self,
        tag: str,
        figure: Any,
        global_step: int | None = None,
        close: bool = True,
        walltime: float | None = None,
    ) -> None:
        """Logs a figure of matplotlib, or several; closes them unless `close` is False."""
        for one in figure if isinstance(figure, list | tuple) else [figure]:
            self._engine.log_figure(tag, one, step_of(global_step))
            if close:
                from matplotlib import pyplot

                pyplot.close(one)

    def add_video(
        self,
        tag: str,
        vid_tensor: Any,
        global_step: int | None = None,
        fps: float | None = 4,
        walltime: float | None = None,
        dataformats: str = "NTCHW",
    ) -> None:
        """Logs a video of shape (1, time, channels, height, width); of several, one each."""
        videos = ordered(array_of(vid_tensor), dataformats, "NTHWC")
        for number, frames in enumerate(videos):
            name = tag if len(videos) == 1 else f"{tag}/{number}"
            pixels, step = pixels_of(frames), step_of(global_step)
            self._engine.log_video(name, pixels, step, fps=float(fps or 4))

    def add_audio(
        self,
        tag: str,
        snd_tensor: Any,
        global_step: int | None = None,
        sample_rate: int = 44100,
        walltime: float | None = None,
    ) -> None:
        """Logs a sound of shape (time,), (1, time) or (time, channels), within -1 and 1."""
        samples = array_of(snd_tensor).squeeze()
        self._engine.log_audio(
            tag, samples.clip(-1.0, 1.0), step_of(global_step), sample_rate=int(sample_rate)
        )

    def add_text(
        self,
        tag: str,
        text_string: str,
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Logs a text."""
        self._engine.log_text(tag, str(text_string), step_of(global_step))

    # -- the rest -----------------------------------------------------------------------

    def get_logdir(self) -> str:
        """The run's directory."""
        return self._engine.run_dir

    @property
    def log_dir(self) -> str:
        """The run's directory."""
        return self._engine.run_dir

    logdir = log_dir

    def flush(self) -> None:
        """Waits until everything is durable.

        Raises:
            FlushError: it is not.
        """
        self._engine.flush()

    def close(self) -> None:
        """Ends a run of its own. Twice is fine."""
        if self._own is not None:
            self._own.close()

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._own is not None:
            self._own.__exit__(kind, exc, traceback)


def _begin(
    place: str | os.PathLike[str] | None, comment: str, settings: Mapping[str, Any]
) -> Experiment:
    given: dict[str, Any] = {"suffix_if_taken": True, "quiet": True}
    if place is None:
        moment = datetime.datetime.now().strftime("%b%d_%H-%M-%S")
        given |= {"name": "runs", "run_name": f"{moment}_{socket.gethostname()}{comment}"}
        if "EXPMAN_BASE_DIR" not in os.environ:
            given["base_dir"] = "."
    else:
        home, run_name = os.path.split(os.path.abspath(os.fspath(place)))
        base_dir, name = os.path.split(home)
        given |= {"name": name or "runs", "run_name": run_name, "base_dir": base_dir}
    return Experiment(**{**given, **settings})
