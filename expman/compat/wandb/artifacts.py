"""`Artifact`: files and directories that belong together, kept below `artifacts/` of the run."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

from expman.compat.wandb.errors import CommError
from expman.compat.wandb.missing import missing
from expman.compat.wandb.table import Table
from expman.compat.wandb.util import make_artifact_name_safe
from expman.integrations.own_run import OwnRun

__all__ = ["RunArtifacts", "WandbArtifact"]

DESCRIPTION = "artifact.json"
ABSENT = frozenset(
    (
        *("checkout", "delete", "get", "link", "logged_by"),
        *("new_draft", "remove", "unlink", "used_by", "verify"),
    )
)
_WHY_ABSENT = ("there is no registry", "an artifact's files lie in artifacts/ of its run")


class WandbArtifact:
    """Files that belong together; its name in wandb is Artifact.

    `log_artifact` keeps them in `artifacts/NAME/vN/`, and what is known of them in the file
    `artifact.json` there. Versions count the artifacts of that name in one run, from v0.

    Args:
        name: what it is called.
        type: what it is, as "model" or "dataset".
        description: kept.
        metadata: kept.
    """

    def __init__(
        self,
        name: str,
        type: str = "unspecified",
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        incremental: bool = False,
        use_as: str | None = None,
        **_: object,
    ) -> None:
        self.name = name
        self.type = type
        self.description = description
        self.metadata: dict[str, Any] = dict(metadata or {})
        self.aliases: list[str] = []
        self.version = ""
        self._files: dict[str, str] = {}
        self._references: list[str] = []
        self._made: str | None = None

    def add_file(
        self, local_path: str | os.PathLike[str], name: str | None = None, **_: object
    ) -> None:
        """Adds a file; it is read when the artifact is logged.

        Raises:
            ValueError: it is not there.
        """
        if not os.path.isfile(local_path):
            raise ValueError(f"{os.fspath(local_path)} is not a file")
        self._files[name or os.path.basename(local_path)] = os.path.abspath(local_path)

    def add_dir(
        self, local_path: str | os.PathLike[str], name: str | None = None, **_: object
    ) -> None:
        """Adds a directory: its content, or under a name.

        Raises:
            ValueError: it is not there.
        """
        if not os.path.isdir(local_path):
            raise ValueError(f"{os.fspath(local_path)} is not a directory")
        home = os.path.abspath(local_path)
        for folder, _folders, names in os.walk(home):
            for one in names:
                path = os.path.join(folder, one)
                self._files[os.path.join(name or "", os.path.relpath(path, home))] = path

    def add(self, obj: Any, name: str | os.PathLike[str], **_: object) -> None:
        """Adds a Table, as JSON.

        Raises:
            NotImplementedError: it is something else; log() keeps pictures and the like.
        """
        if not isinstance(obj, Table):
            raise NotImplementedError(
                f"an artifact takes no {type(obj).__name__}: write it to a file and use add_file()"
            )
        with self.new_file(f"{os.fspath(name)}.table.json") as file:
            json.dump({"columns": obj.columns, "data": obj.data}, file, default=str)

    def add_reference(self, uri: Any, name: str | None = None, **_: object) -> None:
        """Adds the place of what is elsewhere: the place is kept, and not what is there."""
        self._references.append(str(uri))

    @contextlib.contextmanager
    def new_file(
        self, name: str, mode: str = "w", encoding: str | None = None, **_: object
    ) -> Iterator[IO[Any]]:
        """A file to be written, which is then part of the artifact."""
        if self._made is None:
            self._made = tempfile.mkdtemp(prefix="expman-artifact-")
            weakref.finalize(self, shutil.rmtree, self._made, ignore_errors=True)
        path = os.path.join(self._made, f"{len(self._files)}-{os.path.basename(name)}")
        with open(path, mode, encoding=encoding) as file:
            yield file
        self._files[name] = path

    def wait(self, timeout: float | None = None) -> WandbArtifact:
        """Does nothing: `run.finish()` waits for the copy."""
        return self

    def save(self, **_: object) -> None:
        """Does nothing; `log_artifact` keeps it."""

    def finalize(self) -> None:
        """Does nothing."""

    def __getattr__(self, name: str) -> Any:
        if name in ABSENT:
            return missing(f"Artifact.{name}", why=_WHY_ABSENT)
        raise AttributeError(f"an Artifact has no attribute {name!r}")

    def get_path(self, name: str) -> str:
        """Path of one of its files.

        Raises:
            KeyError: it has none of that name.
        """
        return self._files[name]

    get_entry = get_path

    def files(self, *_: object, **__: object) -> list[str]:
        """Names of its files."""
        return sorted(self._files)

    @property
    def file_count(self) -> int:
        """How many files it has."""
        return len(self._files)

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(os.path.getsize(path) for path in self._files.values())

    def download(self, root: str | os.PathLike[str] | None = None, **_: object) -> str:
        """Directory with its files: where they lie, or a copy of them in `root`."""
        if root is None:
            root = self._home() or tempfile.mkdtemp(prefix="expman-artifact-")
            if self._home():
                return os.fspath(root)
        for name, path in self._files.items():
            target = os.path.join(root, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy2(path, target)
        return os.fspath(root)

    def file(self, root: str | None = None) -> str:
        """Path of its only file.

        Raises:
            ValueError: it has another number of files.
        """
        if len(self._files) != 1:
            raise ValueError(f"artifact {self.name!r} has {len(self._files)} files; use download()")
        return next(iter(self._files.values()))

    def _home(self) -> str | None:
        """The directory in which all of its files have their names, if there is one."""
        homes = {path.removesuffix(name) for name, path in self._files.items()}
        is_one = len(homes) == 1 and all(path.endswith(n) for n, path in self._files.items())
        return homes.pop() if is_one else None

    def _described(self) -> dict[str, object]:
        return {
            "name": self.name,
            "type": self.type,
            "version": self.version,
            "aliases": self.aliases,
            "description": self.description,
            "metadata": self.metadata,
            "references": self._references,
            "files": self.files(),
            "logged_at": time.time(),
        }


class RunArtifacts:
    """The artifacts that a run logs and uses.

    Args:
        own: the run.
        project_dir: directory of the runs among which `use` looks; None if nothing is recorded.
    """

    def __init__(self, own: OwnRun, project_dir: str | None) -> None:
        self._own = own
        self._project_dir = project_dir
        self._counts: dict[str, int] = {}

    def log(
        self,
        artifact_or_path: Any,
        name: str | None,
        type: str | None,
        aliases: Sequence[str] | None,
    ) -> WandbArtifact:
        """Keeps an artifact, or a file or directory as one."""
        artifact = artifact_or_path
        if not isinstance(artifact, WandbArtifact):
            path = os.fspath(artifact_or_path).removeprefix("file://")
            artifact = WandbArtifact(name or os.path.basename(path), type or "unspecified")
            (artifact.add_dir if os.path.isdir(path) else artifact.add_file)(path)
        number = self._counts.get(artifact.name, 0)
        self._counts[artifact.name] = number + 1
        artifact.version = f"v{number}"
        artifact.aliases = list(aliases or []) or ["latest"]
        place = f"{make_artifact_name_safe(artifact.name)}/{artifact.version}"
        for target, source in artifact._files.items():
            self._own.save_artifact(source, f"{place}/{target}")
        with tempfile.TemporaryDirectory(prefix="expman-artifact-") as home:
            path = os.path.join(home, DESCRIPTION)
            with open(path, "w") as file:
                json.dump(artifact._described(), file, default=str)
            self._own.save_artifact(path, f"{place}/{DESCRIPTION}")
        return artifact

    def use(self, artifact_or_name: Any) -> WandbArtifact:
        """Finds an artifact of the project: `NAME`, `NAME:latest`, `NAME:vN`, `NAME:ALIAS`.

        Raises:
            CommError: no run of the project has logged it.
        """
        if isinstance(artifact_or_name, WandbArtifact):
            return artifact_or_name
        name, _, wanted = str(artifact_or_name).rpartition("/")[2].partition(":")
        self._own.attempt(lambda engine: engine.flush())  # it may be one of this run
        found = [
            (described["logged_at"], path, described)
            for path in self._paths(name)
            if (described := _read(path)) and _is_wanted(described, wanted)
        ]
        if not found:
            raise CommError(
                f"no run in {self._project_dir} has an artifact {artifact_or_name!r}; log_artifact "
                "keeps one"
            )
        _, path, described = max(found, key=lambda one: one[0])
        artifact = WandbArtifact(
            name, described["type"], described["description"], described["metadata"]
        )
        artifact.version, artifact.aliases = described["version"], described["aliases"]
        artifact.add_dir(os.path.dirname(path))
        artifact._files.pop(DESCRIPTION)
        self._own.log_scalar(f"used_artifact/{name}", os.path.dirname(path))
        return artifact

    def _paths(self, name: str) -> list[str]:
        if self._project_dir is None:
            return []
        home = glob.escape(self._project_dir)
        safe = glob.escape(make_artifact_name_safe(name))
        return glob.glob(os.path.join(home, "*", "artifacts", safe, "v*", DESCRIPTION))


def _read(path: str) -> dict[str, Any] | None:
    try:
        with open(path, "rb") as file:
            found: dict[str, Any] = json.load(file)
    except (OSError, ValueError):
        return None
    return found


def _is_wanted(described: Mapping[str, Any], wanted: str) -> bool:
    return wanted in ("", "latest", described["version"]) or wanted in described["aliases"]
