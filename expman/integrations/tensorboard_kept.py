"""The calls of SummaryWriter for which a run has no kind: they keep artifacts."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from expman.engine import LoggingEngine
from expman.integrations.tensors import npy_of, step_of
from expman.models import LogLevel

__all__ = ["KeptCalls"]


class KeptCalls:
    """Keeps tensors, graphs, embeddings and meshes below `tensorboard/`; run.log names each."""

    _engine: LoggingEngine
    _noted: set[str]

    def add_tensor(
        self, tag: str, tensor: Any, global_step: int | None = None, walltime: float | None = None
    ) -> None:
        """Keeps a tensor as an artifact, a file of numpy."""
        self._keep(f"{tag}.npy", npy_of(tensor), global_step)

    def add_graph(self, model: Any, *_: object, **__: object) -> None:
        """Keeps the text of a model as an artifact."""
        self._keep("graph.txt", str(model).encode("utf-8", "backslashreplace"), None)

    def add_onnx_graph(self, prototxt: str | os.PathLike[str]) -> None:
        """Keeps the file of a model as an artifact."""
        self._keep_file(prototxt)

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
        """Keeps the vectors as an artifact, and beside it metadata as JSON and pictures."""
        self._keep(f"embedding/{tag}.npy", npy_of(mat), global_step)
        if metadata is not None:
            content = {"header": metadata_header, "metadata": metadata}
            data = json.dumps(content, default=str).encode()
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

    def add_custom_scalars(self, layout: Mapping[str, Any]) -> None:
        """Records a layout of charts as a parameter."""
        self._engine.log_params({"custom_scalars": dict(layout)})

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
        marked = place if step is None else f"{place}-{step_of(step)}"
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

    def _note(self, text: str) -> None:
        if text not in self._noted:
            self._noted.add(text)
            self._engine.log_message(LogLevel.INFO, text)
