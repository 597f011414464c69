"""A run of MLflow, from whichever store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

from expman.importers.report import Report

__all__ = ["MlflowContent", "MlflowRun", "Point", "local_folder"]

Point: TypeAlias = tuple[int | None, int, str, float]
"""Step, milliseconds since the epoch, metric, value."""


@dataclass(frozen=True)
class MlflowContent:
    """What a run has.

    Attributes:
        points: the values of its metrics.
        params, tags: by name.
        status: as a word or a number.
        start_ms, end_ms: milliseconds since the epoch.
        artifacts: directories, and what is put before the names of their files.
    """

    points: Iterable[Point]
    params: Mapping[str, str]
    tags: Mapping[str, str]
    status: str
    start_ms: int | None
    end_ms: int | None
    artifacts: list[tuple[str, str]]


@dataclass(frozen=True)
class MlflowRun:
    """A run that was found.

    Attributes:
        place: for messages.
        run_id, name, experiment: as MLflow has them.
        read: reads the rest.
        size: bytes of it.
        state: changes when the run does; "" if that is not known.
        times: begin and end of a run that does not say them, in nanoseconds.
    """

    place: str
    run_id: str
    name: str
    experiment: str
    read: Callable[[Report], MlflowContent] = field(repr=False)
    size: int = 0
    state: str = ""
    times: tuple[int, int] = (0, 0)


def local_folder(uri: str, home: str, owner: str, report: Report) -> str | None:
    """The directory that a URI of artifacts means; None, and counted, if it is not here.

    A store may have been moved: then the end of the path is looked for below it.

    Args:
        uri: a path, or one of the schemes file and mlflow-artifacts.
        home: directory of the store.
        owner: id of the run or the model. A path without it is not followed: a foreign store could
            name any.
        report: counts what is elsewhere.
    """
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file", "mlflow-artifacts") or "\0" in uri:
        report.leave_out("artifacts in a remote store")
        return None
    path = unquote(parts.path) if parts.scheme else uri
    names = [name for name in path.split("/") if name not in ("", ".", "..")]
    if owner not in names:
        report.leave_out("artifacts at an unknown place")
        return None
    tail = names[names.index(owner) :]
    middle = names[: names.index(owner)]
    places = [path if os.path.isabs(path) else os.path.join(home, path)]
    for depth in (2, 1, 0):  # experiment, or experiment/models, or nothing
        inner = [*middle[len(middle) - depth :], *tail] if depth <= len(middle) else tail
        places += [os.path.join(home, base, *inner) for base in ("", "mlruns", "mlartifacts")]
    if parts.scheme == "mlflow-artifacts":
        del places[0]
    for place in places:
        if os.path.isdir(place) and not os.path.islink(place):
            return place
    return None
