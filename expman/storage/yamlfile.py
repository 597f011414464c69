"""run.yaml, config.yaml and experiment.yaml: written whole, read with care.

What is written means the same in YAML 1.1 (PyYAML), in YAML 1.2 and in serde_yaml, which
expman-rs uses: floats carry a dot, and texts that either of them would take for something else
are quoted. Aliases are neither written nor read: they are what YAML bombs are made of.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec
import yaml

from expman.errors import StorageError
from expman.models import ExperimentMetadata, RunMetadata, safe_text
from expman.storage.paths import (
    CONFIG_YAML,
    EXPERIMENT_YAML,
    RUN_YAML,
    is_regular,
    quarantine,
    replace_file,
    storage_error,
)

__all__ = ["RunFile", "create_experiment", "merge_params", "read_yaml", "write_yaml"]

MAX_YAML_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 100
_NESTING = (b"[", b"{", b"-", b"?")
RUN_KEYS = (
    *("name", "experiment", "status", "started_at", "finished_at", "duration_secs"),
    *("description", "tags", "scalars", "vectors", "language", "env_path"),
)

# The C emitter and parser do the same at ten times the speed, where libyaml is there.
_Dumper: TypeAlias = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # type: ignore[valid-type]
_Loader: TypeAlias = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # type: ignore[valid-type]

# What YAML 1.2 or serde_yaml would read as a number though PyYAML (YAML 1.1) would not.
_NUMBER_LIKE = re.compile(
    r"[-+]?(\.?[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?|0o[0-7_]+|0x[0-9a-fA-F_]+|0b[01_]+"
    r"|\.(inf|Inf|INF)|\.(nan|NaN|NAN))"
)


class _Plain(_Dumper):  # type: ignore[misc]
    """Emits values of the safe types, without aliases."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _float(dumper: Any, value: float) -> yaml.ScalarNode:
    if math.isnan(value):
        text = ".nan"
    elif math.isinf(value):
        text = ".inf" if value > 0 else "-.inf"
    else:
        text = repr(value)
        mantissa, mark, exponent = text.partition("e")
        if mark:  # YAML 1.1 wants a dot and a sign: 1e-05 would be a text
            mantissa = mantissa if "." in mantissa else mantissa + ".0"
            text = f"{mantissa}e{exponent if exponent[0] in '+-' else '+' + exponent}"
    return yaml.ScalarNode("tag:yaml.org,2002:float", text)


def _text(dumper: Any, value: str) -> yaml.ScalarNode:
    value = safe_text(value)
    style = "'" if _NUMBER_LIKE.fullmatch(value) else None
    return yaml.ScalarNode("tag:yaml.org,2002:str", value, style=style)


_Plain.add_representer(float, _float)
_Plain.add_representer(str, _text)
_Plain.add_multi_representer(str, _text)


def write_yaml(path: str, data: Mapping[str, object]) -> None:
    """Replaces a YAML file atomically.

    Durability: durable when it returns.

    Raises:
        StorageError: the file is as before.
    """
    try:
        text = yaml.dump(
            data, Dumper=_Plain, sort_keys=False, allow_unicode=True, default_flow_style=False
        )
    except (yaml.YAMLError, RecursionError) as exc:
        raise StorageError(path, f"cannot be expressed as YAML: {exc}") from exc
    replace_file(path, text.encode())


def read_yaml(path: str) -> dict[str, object]:
    """Reads a YAML file that holds a mapping; an empty file is an empty one.

    Raises:
        StorageError: it is absent, too large, not YAML, or a YAML bomb.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_YAML_BYTES + 1)
    except OSError as exc:
        raise storage_error(path, exc) from exc
    if len(data) > MAX_YAML_BYTES:
        raise StorageError(path, f"larger than {MAX_YAML_BYTES} bytes, which no run writes")
    try:
        _refuse_bombs(path, data)
        found = yaml.load(data, Loader=_Loader)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as exc:
        raise StorageError(path, f"is no valid YAML: {exc}") from exc
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise StorageError(path, f"holds a {type(found).__name__}, expected a mapping")
    return {str(key): value for key, value in found.items()}


def _refuse_bombs(path: str, data: bytes) -> None:
    depth = 0
    # Spares most files a second parsing. Nesting by indentation alone, 100 levels deep, takes
    # more than 5,000 bytes; every other way takes one of these characters per level.
    if b"*" not in data and len(data) < 4096 and sum(map(data.count, _NESTING)) < MAX_DEPTH:
        return
    for event in yaml.parse(data, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise StorageError(path, "contains an alias, which expman neither writes nor reads")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise StorageError(path, f"is nested deeper than {MAX_DEPTH} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


class RunFile:
    """The run.yaml of one run."""

    def __init__(self, run_dir: str) -> None:
        self.path = os.path.join(run_dir, RUN_YAML)

    def write(self, meta: RunMetadata) -> None:
        """Replaces run.yaml; `tags` and `description` are null if there are none.

        Durability: durable when it returns.

        Raises:
            StorageError: the file is as before.
        """
        fields = msgspec.to_builtins(meta)
        fields["tags"] = meta.tags or None
        ordered = {key: fields.pop(key) for key in RUN_KEYS}
        write_yaml(self.path, {**ordered, **fields})

    def read(self) -> RunMetadata:
        """Reads run.yaml; keys it does not know are ignored, absent ones have their default.

        Raises:
            StorageError: it is absent or damaged.
        """
        found = read_yaml(self.path)
        run_dir = os.path.dirname(os.path.abspath(self.path))
        found.setdefault("name", os.path.basename(run_dir))
        found.setdefault("experiment", os.path.basename(os.path.dirname(run_dir)))
        for key in ("scalars", "vectors"):
            if found.get(key) is None:
                found.pop(key, None)
        try:
            # Timestamps written without quotes come back as datetime: give them as text.
            return msgspec.convert(_iso(found), RunMetadata)
        except msgspec.ValidationError as exc:
            raise StorageError(self.path, str(exc)) from exc


def _iso(found: dict[str, object]) -> dict[str, object]:
    times = {
        key: value.isoformat()
        for key in ("started_at", "finished_at")
        if hasattr(value := found.get(key), "isoformat")
    }
    return {**found, **times}


def create_experiment(experiment_dir: str, meta: ExperimentMetadata | None = None) -> None:
    """Writes experiment.yaml unless it is there: users edit it.

    Raises:
        StorageError: it cannot be written.
    """
    path = os.path.join(experiment_dir, EXPERIMENT_YAML)
    if not os.path.lexists(path):
        write_yaml(path, msgspec.structs.asdict(meta or ExperimentMetadata()))


def merge_params(run_dir: str, params: Mapping[str, object]) -> str | None:
    """Merges parameters into config.yaml at the top level.

    A config.yaml that cannot be understood, or is a link, is kept under another name.

    Durability: durable when it returns.

    Returns:
        A warning for run.log, if that was so.

    Raises:
        StorageError: config.yaml is as before.
    """
    path = os.path.join(run_dir, CONFIG_YAML)
    known: dict[str, object] = {}
    warning = None
    if os.path.lexists(path):
        try:
            if not is_regular(path):
                raise StorageError(path, "is no regular file")
            known = read_yaml(path)
        except StorageError as exc:
            if isinstance(exc.__cause__, OSError):
                raise
            warning = f"{exc}; it was renamed to {_set_aside(path)}"
    write_yaml(path, {**known, **params})
    return warning


def _set_aside(path: str) -> str:
    try:
        return os.path.basename(quarantine(path))
    except OSError as exc:
        raise storage_error(path, exc) from exc
