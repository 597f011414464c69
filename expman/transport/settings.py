"""From an ExperimentConfig to the hello that carries it to other processes, and back."""

from __future__ import annotations

import os
import time

from expman.models import ExperimentConfig, Host, Rank
from expman.transport import identity
from expman.transport.hello import Hello

__all__ = ["config_of", "owner_hello"]

_SAME = (
    "language",
    "env_path",
    "tags",
    "description",
    "flush_interval_rows",
    "flush_interval_ms",
    "max_buffer_bytes",
    "overflow",
    "project",
    "redirect_console",
    "heartbeat_interval_secs",
    "hang_after_s",
    "system_metrics_interval_secs",
    "capture_provenance",
    "capture_diff",
    "mirror",
)
"""What has the same name and type in both."""


def owner_hello(
    config: ExperimentConfig, host: Host, group: str | None, rank: Rank | None, attempt: int = 1
) -> Hello:
    """The hello of the process that owns a run, as of now."""
    return Hello(
        role="owner",
        producer="main",
        pid=os.getpid(),
        started_at_ns=time.time_ns(),
        started_monotonic_ns=time.monotonic_ns(),
        base_dir=os.path.abspath(config.base_dir),
        experiment=config.name,
        run_name=config.run_name or "",
        host=host,
        rank=rank,
        group=group,
        program=identity.this_program(),
        attempt=attempt,
        **{name: getattr(config, name) for name in _SAME},
    )


def config_of(hello: Hello) -> ExperimentConfig:
    """The config of the run that a hello belongs to."""
    return ExperimentConfig(
        hello.experiment,
        hello.base_dir,
        run_name=hello.run_name,
        group=hello.group,
        rank=None if hello.rank is None else hello.rank.rank,
        **{name: getattr(hello, name) for name in _SAME},
    )
