"""tensorboardX's own tests, with our SummaryWriter in the place of theirs.

They are in its source distribution, which `.ci/run` unpacks; nothing of them is here.
"""

from __future__ import annotations

import inspect
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Program, StartProgram

import expman
from expman import SummaryWriter

needs_tensorboardx = pytest.mark.tensorboardx
pytestmark = pytest.mark.timeout(600)

HERE = Path(__file__).parents[1]
PAGE = HERE.parent / "docs" / "how-to" / "frameworks.md"

PASS = {
    "test_embedding.py": ("test_embedding", "test_embedding_64", "test_embedding_square"),
    "test_figure.py": ("test_figure", "test_figure_list"),
    "test_hparams.py": ("test_smoke",),
    "test_onnx_graph.py": ("test_onnx_graph",),
    "test_pr_curve.py": ("test_smoke",),
    "test_pytorch_graph.py": ("test_pytorch_graph",),
    "test_pytorch_np.py": (
        *("test_pytorch_histogram", "test_pytorch_histogram_raw", "test_pytorch_write"),
    ),
    "test_summary_writer.py": (
        *("test_dummy_summary_writer", "test_pathlib", "test_summary_writer_backcompat"),
        *("test_summary_writer_close", "test_summary_writer_ctx", "test_windowsPath"),
    ),
    "test_writer.py": (
        *("test_reuse_writer_after_closed", "test_write_to_disk_false", "test_writer"),
    ),
}
_EVENT_FILE = "reads the event file, and a run has none"
LEFT_OUT = {
    "test_embedding.py::test_embedding_fail": "pictures that are not square are kept",
    "test_embedding.py::test_embedding_s3_mock": "a run is not written to S3; `mirror` copies it",
    "test_openvino_graph.py::test_openvino_graph": "its file is not in the source distribution",
    "test_pytorch_graph.py::test_wrong_input_size": "the text of a model is kept; it is not traced",
    "test_writer.py::test_flush": _EVENT_FILE,
    "test_writer.py::test_flush_after_close": _EVENT_FILE,
    "test_writer.py::test_flush_timer_is_long_so_data_is_not_there": _EVENT_FILE,
    "test_writer.py::test_writer_with_default_metadata": _EVENT_FILE,
}


LONG = "test_summary_writer_close"
"""It makes a thousand runs, which takes a minute."""

Their = Callable[[str], dict[str, str]]


@pytest.fixture
def their_tests(
    program: StartProgram, shared_writer: Callable[..., Program], tmp_path: Path
) -> Their:
    """Runs those of their tests that an expression of pytest chooses; what became of each."""
    shutil.copytree(Path(os.environ["EXPMAN_TENSORBOARDX_TESTS"], "tests"), tmp_path / "tests")
    files = sorted({*PASS, *(name.partition("::")[0] for name in LEFT_OUT)})
    package = Path(expman.__file__).parents[1]

    def run(chosen: str) -> dict[str, str]:
        plugins = ["-p", "tensorboardx_plugin", "-p", "no:cacheprovider"]
        done = program(
            ["-m", "pytest", "-q", *plugins, "-k", chosen, *(f"tests/{file}" for file in files)],
            python=os.environ["EXPMAN_TENSORBOARDX_PYTHON"],
            cwd=tmp_path,
            env={
                **shared_writer().env,
                "PYTHONPATH": f"{package}:{HERE / 'programs' / 'frameworks'}",
                "RESULTS": str(tmp_path / "results.json"),
                "MPLBACKEND": "agg",
            },
        )
        done.wait(500)
        found: dict[str, str] = json.loads((tmp_path / "results.json").read_text())
        return found

    return run


def passing() -> dict[str, str]:
    return {f"{file}::{name}": "passed" for file, names in PASS.items() for name in names}


@needs_tensorboardx
def test_their_own_tests(their_tests: Their) -> None:
    """Those that make a SummaryWriter pass with ours, but for a list, each with its reason."""
    left_out = " or ".join([LONG, *(name.partition("::")[2] for name in LEFT_OUT)])
    found = their_tests(f"not ({left_out})")

    assert {name: how for name, how in passing().items() if LONG not in name} == found


@needs_tensorboardx
@pytest.mark.soak
def test_their_thousand_writers(their_tests: Their) -> None:
    """A thousand writers, each of which is closed, need no more descriptors than one."""
    assert {f"test_summary_writer.py::{LONG}": "passed"} == their_tests(LONG)


def test_the_page_lists_what_is_left_out() -> None:
    """How many pass, and each that is left out with its reason."""
    page = PAGE.read_text()

    assert f"{len(passing())} of its tests" in page
    assert [] == [
        name for name, reason in LEFT_OUT.items() if f"| `{name}` | {reason} |" not in page
    ]


_SIGNATURES = """
import inspect, json
from importlib import import_module
from typing import Any

for module in ("torch.utils.tensorboard", "tensorboardX"):
    writer: Any = import_module(module).SummaryWriter
    print(json.dumps({
        name: [one for one in inspect.signature(getattr(writer, name)).parameters]
        for name in dir(writer)
        if name == "__init__" or not name.startswith("_")
    }))
"""


@needs_tensorboardx
def test_every_method_and_parameter_is_there(program: StartProgram) -> None:
    """Whatever the SummaryWriter of torch and that of tensorboardX take by name, ours takes."""
    python = os.environ["EXPMAN_TENSORBOARDX_PYTHON"]
    printed = program(["-c", _SIGNATURES], python=python).succeed().splitlines()
    missing = []
    for theirs in map(json.loads, printed):
        assert "add_scalar" in theirs
        for name, parameters in theirs.items():
            ours = getattr(SummaryWriter, name, None)
            if ours is None:
                missing.append(name)
                continue
            known = inspect.signature(ours).parameters
            if not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in known.values()):
                missing += [f"{name}({one})" for one in parameters if one not in known]

    assert {"add_graph(kwargs)", "add_graph(args)"} >= set(missing)
