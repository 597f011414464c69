"""Where a run of wandb was: from a record, or from the file that earlier versions wrote."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from expman.models import safe_text
from expman.storage.paths import read_regular

__all__ = ["provenance_of", "read_metadata"]

_METADATA, _PACKAGES = "wandb-metadata.json", "requirements.txt"
_MOST_BYTES = 1 << 20


def provenance_of(known: Mapping[str, Any]) -> dict[str, object]:
    """What provenance.yaml is to say, from what wandb knows of a run's environment."""
    git, args = known.get("git"), known.get("args")
    words = [known.get("program"), *(args if isinstance(args, list) else [])]
    version = str(known.get("python") or "").removeprefix("CPython ")
    return _given(
        {
            "git": _given({name: git.get(name) for name in ("remote", "commit")})
            if isinstance(git, Mapping)
            else None,
            "command": " ".join(str(word) for word in words if word),
            "hostname": known.get("host"),
            "cwd": known.get("root"),
            "interpreter": _given({"path": known.get("executable"), "version": version}),
        }
    )


def read_metadata(files: str) -> dict[str, object]:
    """The same from the files that wandb wrote before 0.20; empty if there are none."""
    try:
        found = json.loads(read_regular(os.path.join(files, _METADATA), most_bytes=_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        found = {}
    provenance = provenance_of(found) if isinstance(found, dict) else {}
    packages = _packages(os.path.join(files, _PACKAGES))
    return {**provenance, "packages": packages} if packages else provenance


def _packages(path: str) -> dict[str, object]:
    try:
        text = read_regular(path, most_bytes=_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return {}
    pairs = (line.strip().partition("==") for line in text.splitlines())
    return {safe_text(name): version for name, sign, version in pairs if sign and name}


def _given(facts: Mapping[str, object]) -> dict[str, object]:
    """The facts that are known; texts as a file can hold them."""
    return {
        key: value if isinstance(value, dict) else safe_text(str(value))
        for key, value in facts.items()
        if value
    }
