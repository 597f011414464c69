"""expman records machine-learning experiments; a writer process keeps the files.

    from expman import ExperimentConfig, LoggingEngine

    with LoggingEngine(ExperimentConfig("my_exp")) as engine:
        engine.log_vector({"loss": 0.5}, step=1)

Importing it starts nothing and imports neither pyarrow nor yaml.
"""

from __future__ import annotations

import typing
from importlib import import_module as _import_module

from expman.attaching import attach
from expman.engine import LoggingEngine
from expman.errors import (
    ArtifactError,
    ConfigError,
    CorruptLaneError,
    ExpmanError,
    FlushError,
    LayoutVersionError,
    NoActiveRunError,
    RecordTooLargeError,
    ResumeError,
    RunClosedError,
    RunEndedError,
    RunExistsError,
    SharedMemoryError,
    StorageError,
)
from expman.experiment import Experiment
from expman.functions import (
    close,
    error,
    fail,
    info,
    init,
    log,
    log_params,
    log_scalar,
    log_vector,
    save_artifact,
    tensorboard_dir,
    warn,
)
from expman.media_functions import (
    log_audio,
    log_confusion_matrix,
    log_figure,
    log_histogram,
    log_image,
    log_images,
    log_table,
    log_text,
    log_video,
)
from expman.metadata import Attempt, ExperimentMetadata, RunMetadata
from expman.models import ExperimentConfig, LogLevel, MetricValue, RunStatus, VectorRow
from expman.preemption import Preempted, Preemption, on_preemption
from expman.sweep import sweep_name, sweep_params

if typing.TYPE_CHECKING:
    from expman.dashboard.notebook import ui
    from expman.integrations.tensorboard import SummaryWriter
    from expman.reading.expman_rs import (
        load_config,
        load_projects,
        load_provenance,
        load_run,
        load_runs,
        read_histograms,
        read_media,
        read_metrics,
        read_system_metrics,
    )
    from expman.reading.find import RunList, runs
    from expman.reading.logfile import LogEntry
    from expman.reading.multirun import vectors
    from expman.reading.opening import Run
    from expman.storage.experiment_file import assign_project

__version__ = "0.1.0"

__all__ = [
    "ArtifactError",
    "Attempt",
    "ConfigError",
    "CorruptLaneError",
    "Experiment",
    "ExperimentConfig",
    "ExperimentMetadata",
    "ExpmanError",
    "FlushError",
    "LayoutVersionError",
    "LogEntry",
    "LogLevel",
    "LoggingEngine",
    "MetricValue",
    "NoActiveRunError",
    "Preempted",
    "Preemption",
    "RecordTooLargeError",
    "ResumeError",
    "Run",
    "RunClosedError",
    "RunEndedError",
    "RunExistsError",
    "RunList",
    "RunMetadata",
    "RunStatus",
    "SharedMemoryError",
    "StorageError",
    "SummaryWriter",
    "VectorRow",
    "__version__",
    "assign_project",
    "attach",
    "close",
    "error",
    "fail",
    "info",
    "init",
    "load_config",
    "load_projects",
    "load_provenance",
    "load_run",
    "load_runs",
    "log",
    "log_audio",
    "log_confusion_matrix",
    "log_figure",
    "log_histogram",
    "log_image",
    "log_images",
    "log_params",
    "log_scalar",
    "log_table",
    "log_text",
    "log_vector",
    "log_video",
    "on_preemption",
    "read_histograms",
    "read_media",
    "read_metrics",
    "read_system_metrics",
    "runs",
    "save_artifact",
    "sweep_name",
    "sweep_params",
    "tensorboard_dir",
    "ui",
    "vectors",
    "warn",
]

_LAZY = {
    "LogEntry": "reading.logfile",
    "Run": "reading.opening",
    **dict.fromkeys(("RunList", "runs"), "reading.find"),
    **dict.fromkeys(
        (
            *("load_config", "load_projects", "load_provenance", "load_run", "load_runs"),
            *("read_histograms", "read_media", "read_metrics", "read_system_metrics"),
        ),
        "reading.expman_rs",
    ),
    "SummaryWriter": "integrations.tensorboard",
    "assign_project": "storage.experiment_file",
    "ui": "dashboard.notebook",
    "vectors": "reading.multirun",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(_no_attribute(name))
    # Brings pyarrow and yaml, so only if it is asked for.
    found: object = getattr(_import_module(f"expman.{_LAZY[name]}"), name)
    globals()[name] = found
    return found


def _no_attribute(name: str) -> str:
    message = f"module {__name__!r} has no attribute {name!r}"
    if name.startswith("_"):  # machinery asks for these in vain
        return message
    from expman.suggestions import counterpart_of

    return message + counterpart_of(name, __all__)


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
