"""Who is measured: expman, the floors, its peers, and plain transports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

Log = Callable[[Mapping[str, float], int], object]


class Run(Protocol):
    """An open run of a contestant; `log` is what is measured."""

    log: Log

    def close(self) -> None:
        """Ends the run; returns when the contestant says that everything is stored."""
        ...


class Module(Protocol):
    """What a module of this package offers. It imports the contestant inside its functions."""

    def open_run(self, directory: str, variant: str) -> Run:
        """Opens a run whose files all go below a directory."""
        ...

    def count_rows(self, directory: str, variant: str) -> int:
        """Counts the rows that are on disk; also while the run is live. Loggers only."""
        ...

    def read_status(self, directory: str, variant: str) -> str:
        """Reads the status of the run from disk. Loggers only."""
        ...


@dataclass(frozen=True)
class Contestant:
    """Who is measured, and how.

    Attributes:
        name: as it stands in tables.
        module: its module in this package.
        kind: `ours`, `floor`, `peer` or `transport`.
        environment: name of the environment that it runs in.
        packages: what is installed there; none for the project itself.
        imports: what a user imports; None if that is not measured.
        fast: a call takes microseconds, so that it takes part in all rounds and sizes.
        shares_fork: a forked child logs into the parent's run.
        variant: for modules with more than one kind of store.
        version_of: the distribution whose version goes into the results.
        directory_variable: where it wants to read its directory from when it is imported.
    """

    name: str
    module: str
    kind: str
    environment: str
    packages: tuple[str, ...] = ()
    imports: str | None = None
    fast: bool = False
    shares_fork: bool = False
    variant: str = ""
    version_of: str | None = None
    directory_variable: str | None = None


_FASTER_FIFO = ("faster-fifo", "msgspec")
_TORCH = ("torch==2.13.0", "tensorboard")  # the exact version: others bring several GB of CUDA

ALL = (
    Contestant(
        "expman", "ours", "ours", "expman",
        imports="expman", fast=True, shares_fork=True, version_of="expman-sidecar",
    ),
    Contestant("floor", "floors", "floor", "expman", fast=True, variant="floor"),
    Contestant("empty call", "floors", "floor", "expman", fast=True, variant="empty"),
    Contestant("Popen alone", "floors", "floor", "expman", fast=True, variant="popen"),
    Contestant(
        "msgspec", "floors", "floor", "expman",
        imports="msgspec", fast=True, variant="floor", version_of="msgspec",
    ),
    Contestant(
        "expman-rs", "expman_rs", "peer", "expman-rs", ("expman-rs==1.3.0", "pyarrow"),
        imports="expman", fast=True, version_of="expman-rs",
    ),
    Contestant(
        "trackio", "trackio_local", "peer", "trackio", ("trackio",),
        imports="trackio", version_of="trackio", directory_variable="TRACKIO_DIR",
    ),
    Contestant(
        "tensorboardX", "tensorboard_files", "peer", "tensorboardx", ("tensorboardX",),
        imports="tensorboardX", variant="tensorboardX", version_of="tensorboardX",
    ),
    Contestant(
        "torch SummaryWriter", "tensorboard_files", "peer", "torch", _TORCH,
        imports="torch.utils.tensorboard", variant="torch.utils.tensorboard", version_of="torch",
    ),
    Contestant(
        "wandb offline", "wandb_offline", "peer", "wandb", ("wandb",),
        imports="wandb", version_of="wandb",
    ),
    Contestant(
        "neptune-scale offline", "neptune_offline", "peer", "neptune-scale", ("neptune-scale",),
        imports="neptune_scale", version_of="neptune-scale",
    ),
    Contestant(
        "aim", "aim_local", "peer", "aim", ("aim",),
        imports="aim", version_of="aim",
    ),
    Contestant(
        "mlflow file", "mlflow_local", "peer", "mlflow", ("mlflow",),
        imports="mlflow", variant="file", version_of="mlflow",
    ),
    Contestant(
        "mlflow SQLite", "mlflow_local", "peer", "mlflow", ("mlflow",),
        variant="sqlite", version_of="mlflow",
    ),
    Contestant(
        "mlflow SQLite async", "mlflow_local", "peer", "mlflow", ("mlflow",),
        variant="sqlite-async", version_of="mlflow",
    ),
    Contestant(
        "dvclive", "dvclive_local", "peer", "dvclive", ("dvclive",),
        imports="dvclive", version_of="dvclive",
    ),
    Contestant(
        "multiprocessing.Queue", "queues", "transport", "expman",
        fast=True, shares_fork=True, variant="Queue",
    ),
    Contestant(
        "multiprocessing.SimpleQueue", "queues", "transport", "expman",
        fast=True, shares_fork=True, variant="SimpleQueue",
    ),
    Contestant(
        "faster-fifo", "queues", "transport", "faster-fifo", _FASTER_FIFO,
        fast=True, shares_fork=True, variant="faster-fifo", version_of="faster-fifo",
    ),
)  # fmt: skip

BY_NAME = {contestant.name: contestant for contestant in ALL}
