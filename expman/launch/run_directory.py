"""Makes the directory of a new run; it must not exist."""

from __future__ import annotations

import contextlib
import os
import time

import msgspec

from expman.checks import LATEST
from expman.errors import ConfigError, RunExistsError, StorageError
from expman.models import ExperimentConfig, Host, Rank, RunStatus, safe_text
from expman.storage.paths import RUN_YAML, TEMP_PREFIX

__all__ = ["check_base_dir", "create_run", "remove_run", "with_rank", "write_first_metadata"]

MAX_SUFFIX = 10_000
FIRST_YAML = f"{TEMP_PREFIX}first"


def check_base_dir(config: ExperimentConfig) -> None:
    """Checks that the base directory has a path that the writer can use.

    Raises:
        ConfigError: the absolute path is not text.
        StorageError: there is none, for the working directory was removed.
    """
    try:
        path = os.path.abspath(config.base_dir)
    except OSError as exc:
        raise StorageError(config.base_dir, f"has no absolute path: {exc.strerror}") from exc
    if path != safe_text(path):
        raise ConfigError(
            "base_dir",
            config.base_dir,
            f"the working directory {safe_text(path)} must be valid UTF-8 text, or base_dir an "
            "absolute path that is",
        )


def with_rank(config: ExperimentConfig, rank: Rank | None) -> ExperimentConfig:
    """The configuration of one rank: those above 0 add `-rank<n>` to the run's name.

    So two ranks of a job never meet in one directory.
    """
    if rank is None:
        return config
    name = config.run_name or ""
    name = f"{name}-rank{rank.rank}" if rank.rank > 0 else name
    return msgspec.structs.replace(config, run_name=name, rank=rank.rank)


def create_run(config: ExperimentConfig) -> ExperimentConfig:
    """Creates the run's directory; returns the configuration with the name that it got.

    Raises:
        RunExistsError: the run_name that was asked for exists.
        StorageError: it cannot be created.
    """
    name = config.run_name or ""
    try:
        os.makedirs(config.experiment_dir, exist_ok=True)
    except OSError as exc:
        raise StorageError(config.experiment_dir, f"cannot be created: {exc.strerror}") from exc
    number = 0
    if name == LATEST:  # it stands for the newest run, and counts as taken
        number, config = 1, _renamed(config, f"{name}-1")
    while True:
        try:
            os.mkdir(config.run_dir)
            return config
        except FileExistsError:
            number += 1
            if not config.suffix_if_taken or number > MAX_SUFFIX:
                raise RunExistsError(config.run_dir) from None
            config = _renamed(config, f"{name}-{number}")
        except OSError as exc:
            raise StorageError(config.run_dir, f"cannot be created: {exc.strerror}") from exc


def _renamed(config: ExperimentConfig, run_name: str) -> ExperimentConfig:
    try:
        return msgspec.structs.replace(config, run_name=run_name)
    except ConfigError:  # the suffix made it too long
        raise RunExistsError(config.run_dir) from None


def write_first_metadata(
    config: ExperimentConfig, group: str | None, rank: Rank | None, host: Host
) -> None:
    """Writes the run.yaml that a reader sees until the writer's first one; whole or not at all.

    Raises:
        StorageError: it cannot be written.
    """
    now_ns = time.time_ns()
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now_ns // 10**9))
    document: dict[str, object] = {
        "name": config.run_name,
        "experiment": config.name,
        "status": RunStatus.RUNNING,
        "started_at": f"{moment}.{now_ns % 10**9:09d}Z",
        "finished_at": None,
        "duration_secs": None,
        "description": config.description,
        "tags": config.tags or None,
        "scalars": {},
        "vectors": {},
        "language": config.language,
        "env_path": config.env_path,
        "group": group,
        "project": config.project,
        "rank": None if rank is None else rank.rank,
        "local_rank": None if rank is None else rank.local_rank,
        "world_size": None if rank is None else rank.world_size,
        "host": host,
    }
    path = os.path.join(config.run_dir, RUN_YAML)
    temp = os.path.join(config.run_dir, FIRST_YAML)
    try:
        with open(temp, "wb") as file:  # JSON is YAML, and needs no YAML library here
            file.write(_as_yaml(msgspec.json.encode(document)))
        os.rename(temp, path)
    except OSError as exc:
        raise StorageError(path, f"cannot be written: {exc.strerror}") from exc


def _as_yaml(encoded: bytes) -> bytes:
    """JSON whose texts have no characters that end a line in YAML: there they become spaces."""
    for character in "\x85\u2028\u2029":
        encoded = encoded.replace(character.encode(), f"\\u{ord(character):04x}".encode())
    return encoded


def remove_run(config: ExperimentConfig) -> None:
    """Takes back a run that could not be started, if nothing else is in its directory."""
    for remove, path in (
        (os.unlink, os.path.join(config.run_dir, RUN_YAML)),
        (os.unlink, os.path.join(config.run_dir, FIRST_YAML)),
        (os.rmdir, config.run_dir),
    ):
        with contextlib.suppress(OSError):
            remove(path)
