"""The calls of SummaryWriter for which a run has no kind: they keep artifacts."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from expman.integrations.tensorboard_run import WriterRun
from expman.integrations.tensors import array_of, npy_of

__all__ = ["KeptCalls"]


class KeptCalls(WriterRun):
    """Keeps tensors, graphs, embeddings and meshes below `tensorboard/`; run.log names each."""

    _layout: dict[str, dict[str, Any]] | None = None

    def add_tensor(
        self, tag: str, tensor: Any, global_step: int | None = None, walltime: float | None = None
    ) -> None:
        """Keeps a tensor as an artifact, a file of numpy."""
        self._keep(f"{tag}.npy", npy_of(tensor), global_step)

    def add_graph(self, model: Any, *_: object, **__: object) -> None:
        """Keeps the text of a model as an artifact."""
        self._keep("graph.txt", str(model).encode("utf-8", "backslashreplace"), None)

    def add_onnx_graph(
        self,
        prototxt: str | os.PathLike[str] | None = None,
        onnx_model_file: str | os.PathLike[str] | None = None,
    ) -> None:
        """Keeps the file of a model as an artifact; tensorboardX has another name for it."""
        path = prototxt if prototxt is not None else onnx_model_file
        if path is None:
            raise TypeError("add_onnx_graph() needs the path of the model's file")
        self._keep_file(path)

    def add_openvino_graph(self, xmlname: str | os.PathLike[str]) -> None:
        """Keeps the file of a model as an artifact."""
        self._keep_file(xmlname)

    def add_embedding(
        self,
        mat: Any,
        metadata: Sequence[Any] | None = None,
        label_img: Any = None,
        global_step: int | None = None,
        tag: str = "default",
        metadata_header: Sequence[str] | None = None,
    ) -> None:
        """Keeps the vectors as an artifact, and beside it metadata as JSON and pictures.

        Raises:
            ValueError: metadata or pictures are not as many as vectors.
        """
        count = len(mat)
        for name, others in (("metadata", metadata), ("label_img", label_img)):
            if others is not None and len(others) != count:
                raise ValueError(f"embedding {tag!r}: {len(others)} {name}, {count} vectors")
        self._keep(f"embedding/{tag}.npy", npy_of(mat), global_step)
        if metadata is not None:
            content = {"header": metadata_header, "metadata": list(metadata)}
            data = json.dumps(content, default=_plain).encode()
            self._keep(f"embedding/{tag}.json", data, global_step)
        if label_img is not None:
            self._keep(f"embedding/{tag}-images.npy", npy_of(label_img), global_step)

    def add_mesh(
        self,
        tag: str,
        vertices: Any,
        colors: Any = None,
        faces: Any = None,
        config_dict: Mapping[str, Any] | None = None,
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Keeps vertices, colors and faces as an artifact each."""
        for name, part in (("vertices", vertices), ("colors", colors), ("faces", faces)):
            if part is not None:
                self._keep(f"mesh/{tag}-{name}.npy", npy_of(part), global_step)
        if config_dict:
            data = json.dumps(dict(config_dict), default=_plain).encode()
            self._keep(f"mesh/{tag}-config.json", data, global_step)

    def add_custom_scalars(self, layout: Mapping[str, Any]) -> None:
        """Records a layout of charts as a parameter; charts of several calls come together."""
        known = self._layout = self._layout or {}
        for category, charts in layout.items():
            known[category] = {**known.get(category, {}), **charts}
        self._engine.log_params({"custom_scalars": known})

    def add_custom_scalars_multilinechart(
        self, tags: Sequence[str], category: str = "default", title: str = "untitled"
    ) -> None:
        """Records a chart of several metrics as a parameter."""
        self.add_custom_scalars({category: {title: ["Multiline", list(tags)]}})

    def add_custom_scalars_marginchart(
        self, tags: Sequence[str], category: str = "default", title: str = "untitled"
    ) -> None:
        """Records a chart with a margin as a parameter."""
        self.add_custom_scalars({category: {title: ["Margin", list(tags)]}})

    def _keep(self, name: str, data: bytes, step: int | None) -> None:
        place, extension = os.path.splitext(name)
        at = self._step(step)
        marked = place if at is None else f"{place}-{at}"
        target = f"tensorboard/{marked}{extension}"
        with tempfile.TemporaryDirectory() as home:
            path = os.path.join(home, f"kept{extension}")
            with open(path, "wb") as file:
                file.write(data)
            self._engine.save_artifact(path, target)
        self._note(f"kept as an artifact: {target}")

    def _keep_file(self, path: str | os.PathLike[str]) -> None:
        target = f"tensorboard/{os.path.basename(os.fspath(path))}"
        self._engine.save_artifact(path, target)
        self._note(f"kept as an artifact: {target}")


def _plain(value: Any) -> Any:
    """A tensor or an array as JSON's own values, anything else as text."""
    array = array_of(value) if hasattr(value, "shape") else None
    return str(value) if array is None else array.tolist()
