"""Comparison of the provenance of runs."""

from __future__ import annotations

from collections.abc import Sequence

from expman.reading.differences import ABSENT, differ
from expman.storage.provenance import read_provenance

__all__ = ["PACKAGES", "differing_provenance", "facts_of"]

PACKAGES = "package "
"""What the names of packages begin with."""
_OF_GIT = ("commit", "branch", "remote", "dirty")


def differing_provenance(run_dirs: Sequence[str]) -> dict[str, list[object]]:
    """Returns recorded facts that differ between runs, with one value for each run.

    Code, interpreter, host, GPUs and packages are compared. The command is not: it has the
    parameters, and seldom is the same.

    Raises:
        StorageError: a provenance.yaml is damaged, or cannot be read.
    """
    facts = [facts_of(run_dir) for run_dir in run_dirs]
    has_packages = [any(key.startswith(PACKAGES) for key in fact) for fact in facts]
    found = {}
    for key in dict.fromkeys(key for fact in facts for key in fact):
        values = [fact.get(key, ABSENT) for fact in facts]
        # What was not recorded does not differ; a package that is not installed does.
        known = has_packages if key.startswith(PACKAGES) else [v is not ABSENT for v in values]
        if differ([value for value, counts in zip(values, known, strict=True) if counts]):
            found[key] = values
    return found


def facts_of(run_dir: str) -> dict[str, object]:
    """Returns the recorded facts of a run that can be compared with those of others.

    Raises:
        StorageError: provenance.yaml is damaged, or cannot be read.
    """
    return _flat(read_provenance(run_dir))


def _flat(document: dict[str, object]) -> dict[str, object]:
    found: dict[str, object] = {}
    git = document.get("git")
    if isinstance(git, dict):
        found |= {name: git[name] for name in _OF_GIT if name in git}
    for key, part, name in (
        ("python", "interpreter", "version"),
        ("processor", "host", "cpu"),
        ("processors", "host", "cpus"),
        ("kernel", "host", "kernel"),
    ):
        inner = document.get(part)
        if isinstance(inner, dict) and name in inner:
            found[key] = inner[name]
    for key in ("hostname", "gpu_driver", "cuda"):
        if key in document:
            found[key] = document[key]
    gpus = document.get("gpus")
    if isinstance(gpus, list):
        found["GPUs"] = ", ".join(str(gpu.get("name")) for gpu in gpus if isinstance(gpu, dict))
    packages = document.get("packages")
    if isinstance(packages, dict):
        found |= {f"{PACKAGES}{name}": version for name, version in packages.items()}
    return found
