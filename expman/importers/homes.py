"""Chooses the experiments that imported runs go into."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from expman.importers.place import directory_name, new_experiment
from expman.importers.source import Source
from expman.models import ExperimentConfig

__all__ = ["experiment_of", "new_home"]


def experiment_of(source: Source, wanted: str | None, base_dir: str) -> str | None:
    """Returns the experiment of a run: the wanted one, or what its tracker calls it, as a name.

    None if the tracker records none.

    Raises:
        ConfigError: the wanted one is not a name.
    """
    if wanted is None and source.experiment is None:
        return None
    name = wanted or directory_name("experiment", source.experiment or "")
    ExperimentConfig(name, base_dir)  # checks the name
    return name


def new_home(home: str, sources: Sequence[Source]) -> contextlib.AbstractContextManager[None]:
    """Makes an experiment's directory; removes a new one again if no run came into it.

    Args:
        home: the directory.
        sources: the runs that go into it; their project's name is kept if it is another one.
    """
    projects = {source.experiment for source in sources}
    project = projects.pop() if len(projects) == 1 else None
    return new_experiment(home, None if project == os.path.basename(home) else project)
