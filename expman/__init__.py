"""expman records machine-learning experiments; a writer process keeps the files.

    from expman import ExperimentConfig, LoggingEngine

    with LoggingEngine(ExperimentConfig("my_exp")) as engine:
        engine.log_vector({"loss": 0.5}, step=1)

Importing it starts nothing and imports neither pyarrow nor yaml.
"""

from __future__ import annotations

from expman.engine import LoggingEngine, attach
from expman.errors import (
    ConfigError,
    CorruptLaneError,
    ExpmanError,
    FlushError,
    LayoutVersionError,
    NoActiveRunError,
    RecordTooLargeError,
    RunClosedError,
    RunEndedError,
    RunExistsError,
    SharedMemoryError,
    StorageError,
)
from expman.experiment import (
    Experiment,
    close,
    error,
    fail,
    info,
    init,
    log_params,
    log_scalar,
    log_vector,
    save_artifact,
    warn,
)
from expman.models import (
    ExperimentConfig,
    ExperimentMetadata,
    LogLevel,
    MetricValue,
    RunMetadata,
    RunStatus,
    VectorRow,
)

__version__ = "0.1.0"

__all__ = [
    "ConfigError",
    "CorruptLaneError",
    "Experiment",
    "ExperimentConfig",
    "ExperimentMetadata",
    "ExpmanError",
    "FlushError",
    "LayoutVersionError",
    "LogLevel",
    "LoggingEngine",
    "MetricValue",
    "NoActiveRunError",
    "RecordTooLargeError",
    "RunClosedError",
    "RunEndedError",
    "RunExistsError",
    "RunMetadata",
    "RunStatus",
    "SharedMemoryError",
    "StorageError",
    "VectorRow",
    "__version__",
    "attach",
    "close",
    "error",
    "fail",
    "info",
    "init",
    "log_params",
    "log_scalar",
    "log_vector",
    "save_artifact",
    "warn",
]


def __getattr__(name: str) -> object:
    if name == "SummaryWriter":
        raise NotImplementedError(
            "expman.SummaryWriter is not available in this release; use expman.Experiment"
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
