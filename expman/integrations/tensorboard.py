"""SummaryWriter, with the methods of torch.utils.tensorboard and tensorboardX.

It needs neither of them, nor torch: tensors are read through numpy.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from expman.integrations.tensorboard_curves import CurveCalls
from expman.integrations.tensorboard_kept import KeptCalls
from expman.integrations.tensors import (
    array_of,
    number_of,
    ordered,
    picture_of,
    pixels_of,
)

__all__ = ["SummaryWriter"]


class SummaryWriter(CurveCalls, KeptCalls):
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
        purge_step: a run that is at `log_dir` goes on at this step, instead of another one with a
            suffix; its rows from this step on are superseded.
        max_queue: not used: nothing is queued.
        flush_secs: not used: a call that has returned is kept.
        filename_suffix: not used.
        write_to_disk: False: nothing is recorded.
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
        write_to_disk: bool = True,
        *,
        logdir: str | os.PathLike[str] | None = None,
        **settings: Any,
    ) -> None:
        place = log_dir if log_dir is not None else logdir
        settings.pop("comet_config", None)
        super().__init__(
            place, comment, settings, write_to_disk=write_to_disk, purge_step=purge_step
        )

    # -- scalars ------------------------------------------------------------------------

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
        **texts: object,
    ) -> None:
        """Logs a row with one metric; it is published when the call returns.

        What tensorboardX takes as `display_name` and `summary_description` is a line of run.log.
        """
        places = (new_style, double_precision)  # tensorboardX has the two texts here
        said = [text for text in (*texts.values(), *places) if text and isinstance(text, str)]
        if said:
            self._note(f"{tag}: {', '.join(said)}")
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
        self._engine.log_row_at(plain, self._step(step), self._time_ns(walltime))

    def add_hparams(
        self,
        hparam_dict: Mapping[str, Any],
        metric_dict: Mapping[str, Any],
        hparam_domain_discrete: Mapping[str, Any] | None = None,
        run_name: str | int | None = None,
        global_step: int | None = None,
        *,
        name: str | None = None,
    ) -> None:
        """Records parameters, and each metric as a scalar of the run and in a row.

        Other programs make a run of its own for each call: `run_name`, tensorboardX's `name`. Here
        the name is a line of run.log.
        """
        if isinstance(hparam_domain_discrete, str):  # tensorboardX: name, global_step
            name, hparam_domain_discrete = hparam_domain_discrete, None
            if not isinstance(run_name, str):
                run_name, global_step = None, global_step if run_name is None else run_name
        if run_name or name:
            self._note(f"add_hparams: named {run_name or name}")
        if hparam_domain_discrete:
            self._note(f"add_hparams: values may be {dict(hparam_domain_discrete)}")
        self._engine.log_params(dict(hparam_dict))
        for metric, value in metric_dict.items():
            self._engine.log_scalar(metric, number_of(value))
        if metric_dict:
            self._row(dict(metric_dict), global_step, None)

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
        picture = picture_of(img_tensor, dataformats)
        self._send("image", tag, picture, global_step, walltime)

    def add_images(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "NCHW",
    ) -> None:
        """Logs pictures side by side; their axes are named by `dataformats`: NCHW, NHWC, ….

        A list has pictures whose axes are named by it, without the N.
        """
        if isinstance(img_tensor, list | tuple):
            axes = dataformats.upper().replace("N", "")
            pictures = [picture_of(one, axes) for one in img_tensor]
        else:
            array = ordered(array_of(img_tensor), dataformats, "NHWC")
            pictures = [pixels_of(one) for one in array]
        self._send("images", tag, pictures, global_step, walltime)

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
        if isinstance(rescale, str):  # tensorboardX has dataformats and labels here
            rescale, dataformats, labels = 1, rescale, labels or _labels(dataformats)
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
        self._send("image", tag, image.resize(size), global_step, walltime)

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
            self._send("figure", tag, one, global_step, walltime)
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
            pixels = pixels_of(frames)
            self._send("video", name, pixels, global_step, walltime, fps=float(fps or 4))

    def add_audio(
        self,
        tag: str,
        snd_tensor: Any,
        global_step: int | None = None,
        sample_rate: int = 44100,
        walltime: float | None = None,
    ) -> None:
        """Logs a sound of shape (time,), (1, time) or (time, channels), within -1 and 1."""
        samples = array_of(snd_tensor).squeeze().clip(-1.0, 1.0)
        rate = int(sample_rate)
        self._send("audio", tag, samples, global_step, walltime, sample_rate=rate)

    def add_text(
        self,
        tag: str,
        text_string: str,
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Logs a text."""
        self._send("text", tag, str(text_string), global_step, walltime)

    # -- the rest -----------------------------------------------------------------------

    def export_scalars_to_json(self, path: str | os.PathLike[str]) -> None:
        """Writes a file with the rows of the run: `{"DIRECTORY/TAG": [[time, step, value], …]}`.

        Durability: the rows are durable, and the file is written when it returns.

        Raises:
            FlushError: the rows are not durable.
        """
        from expman.integrations.tensorboard_scalars import write_scalars

        self.flush()
        write_scalars(self.get_logdir(), path)

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


def _labels(given: Any) -> Sequence[str] | None:
    """Labels that stand in another parameter's place; None if it is that parameter's default."""
    return None if isinstance(given, str) else given
