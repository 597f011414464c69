"""experiment.yaml: what users say about an experiment, and the project that it belongs to."""

from __future__ import annotations

import os

import msgspec

from expman import settings
from expman.checks import check_new_name, check_project
from expman.metadata import ExperimentMetadata
from expman.storage.paths import EXPERIMENT_YAML, storage_error
from expman.storage.yamlfile import read_yaml, write_yaml

__all__ = ["assign_project", "create_experiment", "set_experiment_project"]


def create_experiment(experiment_dir: str, meta: ExperimentMetadata | None = None) -> bool:
    """Writes experiment.yaml unless it is there: users edit it. Returns whether it was written.

    Raises:
        StorageError: it cannot be written.
    """
    path = os.path.join(experiment_dir, EXPERIMENT_YAML)
    if os.path.lexists(path):
        return False
    write_yaml(path, msgspec.structs.asdict(meta or ExperimentMetadata()))
    return True


def set_experiment_project(experiment_dir: str, project: str | None) -> None:
    """Sets the project in experiment.yaml, and leaves everything else in it.

    Of two processes that do this at once, one has the last word.

    Raises:
        StorageError: the file cannot be read or written; it is as before.
    """
    if create_experiment(experiment_dir, ExperimentMetadata(project=project)):
        return
    path = os.path.join(experiment_dir, EXPERIMENT_YAML)
    found = read_yaml(path)
    if found.get("project") != project:
        write_yaml(path, {**found, "project": project}, check=True)


def assign_project(
    experiment: str, project: str | None, base_dir: str | os.PathLike[str] = settings.BASE_DIR
) -> None:
    """Sets the project in an experiment's experiment.yaml, without a run.

    Args:
        experiment: the experiment's name. Its directory is made if it is not there.
        project: the project; None: it belongs to none.
        base_dir: directory that holds all experiments.

    Durability: durable when it returns.

    Raises:
        ConfigError: a name cannot be used.
        StorageError: experiment.yaml cannot be read or written; it is as before.
    """
    name = check_new_name("experiment", experiment)
    directory = os.path.join(settings.resolve("base_dir", base_dir), name)
    wanted = None if project is None else check_project("project", project)
    try:
        os.makedirs(directory, exist_ok=True)
    except OSError as exc:
        raise storage_error(directory, exc) from exc
    set_experiment_project(directory, wanted)
