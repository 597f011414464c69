"""The hello: which process logs into a lane, and into which run. It is part of the control."""

from __future__ import annotations

import os
import time

import msgspec

from expman.checks import check_name
from expman.errors import ConfigError
from expman.models import Host, Program, Rank

__all__ = ["Hello", "decode_hello", "encode_hello"]


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """Identifies the producer of a lane, and the run that it logs into.

    Attributes:
        role: "owner", "worker", or "relay" for the process that passes on what a program prints.
        producer: the name that the producer asks for; "worker" asks for a numbered one.
        started_at_ns: nanoseconds since the Unix epoch.
        started_monotonic_ns: the same moment by the monotonic clock.
        program: what the owner runs.
        attempt: number of the run's attempt, from 1.
    """

    role: str
    producer: str
    pid: int
    started_at_ns: int
    started_monotonic_ns: int = 0
    base_dir: str
    experiment: str
    run_name: str
    language: str
    env_path: str
    tags: tuple[str, ...] = ()
    description: str | None = None
    flush_interval_rows: int = 50
    flush_interval_ms: int = 500
    max_buffer_bytes: int = 64 * 1024 * 1024
    overflow: str = "block"
    host: Host = Host()
    rank: Rank | None = None
    group: str | None = None
    project: str | None = None
    redirect_console: bool | str | None = None
    heartbeat_interval_secs: int = 30
    hang_after_s: int = 300
    system_metrics_interval_secs: int | None = None
    capture_provenance: bool | None = None
    capture_diff: bool | None = None
    mirror: str | None = None
    program: Program | None = None
    attempt: int = 1

    def __post_init__(self) -> None:
        # Memory can be damaged, and no name may lead out of the base directory. msgspec turns this
        # error into a DecodeError.
        check_name("experiment", self.experiment)
        check_name("run_name", self.run_name)
        if not os.path.isabs(self.base_dir) or "\0" in self.base_dir:
            raise ConfigError("base_dir", self.base_dir, "must be absolute")

    @property
    def run_dir(self) -> str:
        """Directory of the run."""
        return os.path.join(self.base_dir, self.experiment, self.run_name)

    @property
    def age_s(self) -> float:
        """Seconds since the process began to log, by the clock of this host."""
        return (time.time_ns() - self.started_at_ns) / 1e9

    def producer_name(self, number: int) -> str:
        """The name that the producer's rows carry, with the number that makes it its own."""
        if self.producer == "worker":
            return f"worker-{number}"
        return self.producer if not number else f"{self.producer}~{number + 1}"


encode_hello = msgspec.msgpack.Encoder().encode


def decode_hello(encoded: bytes) -> Hello:
    """Reads what `encode_hello` wrote.

    Raises:
        msgspec.DecodeError: the bytes are not a hello.
    """
    return msgspec.msgpack.decode(encoded, type=Hello)
