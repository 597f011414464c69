"""provenance.yaml: what a run was."""

from __future__ import annotations

import os
from collections.abc import Mapping

from expman.errors import StorageError
from expman.storage.paths import PROVENANCE_YAML
from expman.storage.yamlfile import Block, read_yaml, write_yaml

__all__ = ["PENDING", "is_complete", "read_provenance", "write_provenance"]

PENDING = "git has not answered yet"
"""The note of a file that is to be replaced by a complete one."""


def write_provenance(run_dir: str, document: Mapping[str, object]) -> None:
    """Replaces provenance.yaml.

    Durability: durable when it returns.

    Raises:
        StorageError: the file is as before.
    """
    git = document.get("git")
    if isinstance(git, dict) and "diff" in git:
        document = {**document, "git": {**git, "diff": Block(git["diff"])}}
    write_yaml(os.path.join(run_dir, PROVENANCE_YAML), document)


def read_provenance(run_dir: str) -> dict[str, object]:
    """Reads provenance.yaml; empty if there is none.

    Raises:
        StorageError: it is damaged, or cannot be read.
    """
    path = os.path.join(run_dir, PROVENANCE_YAML)
    if not os.path.exists(path):
        return {}
    return read_yaml(path, dates=False, follow=True)


def is_complete(path: str) -> bool:
    """True if the file exists and will not be replaced."""
    try:
        notes = read_yaml(path, dates=False).get("notes")
    except StorageError:
        return False
    return not (isinstance(notes, list) and PENDING in notes)
