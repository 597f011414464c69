"""YAML files, and run.yaml: written whole, read with care.

What is written means the same in YAML 1.1 (PyYAML), in YAML 1.2 and in serde_yaml, which
expman-rs uses: floats carry a dot, and texts that either of them would take for something else
are quoted. Aliases are neither written nor read: they are what YAML bombs are made of.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar, TypeAlias

import msgspec
import yaml

from expman.errors import StorageError
from expman.metadata import RunMetadata
from expman.models import MetricValue, reason_of, safe_text
from expman.storage.bounds import fitting, read_rest, shortened, write_rest
from expman.storage.large_yaml import OneLine, float_text, large_yaml
from expman.storage.paths import (
    RUN_YAML,
    IrregularFileError,
    read_regular,
    replace_file,
    storage_error,
)
from expman.storage.plain_yaml import read_plain_mapping

__all__ = [
    "MAX_YAML_BYTES",
    "Block",
    "OneLine",
    "RunFile",
    "add_rest",
    "dump_yaml",
    "leave_out",
    "parse_yaml",
    "read_yaml",
    "to_metadata",
    "write_yaml",
]

MAX_YAML_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 100
"""Of a file that is read, whoever wrote it. More than MAX_NESTING and the levels of our files."""
MAX_LINE = 1 << 20
_TOO_DEEP = f"is nested deeper than {MAX_DEPTH} levels"
_NESTING = (b"[", b"{", b"-", b"?")
_HEARTBEAT = re.compile(rb"^heartbeat_at: .*$", re.MULTILINE)
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


def _dates(first: str) -> list[tuple[str, re.Pattern[str]]]:
    known = yaml.SafeLoader.yaml_implicit_resolvers.get(first, [])
    return [(tag, pattern) for tag, pattern in known if tag == "tag:yaml.org,2002:timestamp"]


class _Reader(_Loader):  # type: ignore[misc]
    """Reads plain scalars as YAML 1.2 and serde_yaml do: `yes`, `12:30` and `<<` are texts.

    Nothing that is written here means something else in YAML 1.1. What expman-rs writes does.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}


class _DateReader(_Reader):
    """Reads dates as dates, too."""


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
):
    _Reader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), list(_first)
    )
_DateReader.yaml_implicit_resolvers = {
    first: [*resolvers, *_dates(first)]
    for first, resolvers in _Reader.yaml_implicit_resolvers.items()
}


@lru_cache(4096)
def _is_text(scalar: str) -> bool:
    """Whether a plain scalar is a text, and nothing that looks like a date either."""
    resolvers = _DateReader.yaml_implicit_resolvers.get(scalar[0], ())
    return not any(pattern.match(scalar) for _, pattern in resolvers)


class Block(str):
    """A text that is written line by line where YAML allows that."""

    __slots__ = ()


class _Plain(_Dumper):  # type: ignore[misc]
    """Emits values of the safe types, without aliases."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _float(dumper: Any, value: float) -> yaml.ScalarNode:
    return yaml.ScalarNode("tag:yaml.org,2002:float", float_text(value))


def _text(dumper: Any, value: str) -> yaml.ScalarNode:
    value = safe_text(value)
    style = "'" if _NUMBER_LIKE.fullmatch(value) else None
    return yaml.ScalarNode("tag:yaml.org,2002:str", value, style=style)


def _one_line(dumper: Any, value: OneLine) -> yaml.MappingNode:
    node: yaml.MappingNode = dumper.represent_mapping("tag:yaml.org,2002:map", value.items())
    node.flow_style = True
    return node


def _block(dumper: Any, value: Block) -> yaml.ScalarNode:
    return yaml.ScalarNode("tag:yaml.org,2002:str", safe_text(value), style="|")


_Plain.add_representer(float, _float)
_Plain.add_representer(Block, _block)
_Plain.add_representer(OneLine, _one_line)
_Plain.add_representer(str, _text)
_Plain.add_multi_representer(str, _text)


def write_yaml(path: str, data: Mapping[str, object], *, check: bool = False) -> None:
    """Replaces a YAML file atomically.

    Args:
        path: the file.
        data: what it holds.
        check: read it back first: what could be written and not read would cost everything
            else that is in the file.

    Durability: durable when it returns.

    Raises:
        StorageError: the file is as before.
    """
    text = dump_yaml(path, data)
    if check:
        parse_yaml(path, text)
    replace_file(path, text)


def dump_yaml(path: str, data: Mapping[str, object]) -> bytes:
    """Returns the text of a YAML file; `path` is for the message.

    Raises:
        StorageError: the data cannot be written as YAML.
    """
    try:
        text: str = yaml.dump(
            data,
            Dumper=_Plain,
            sort_keys=False,
            allow_unicode=True,
            default_flow_style=False,
            width=MAX_LINE,
        )
        return text.encode()
    except Exception as exc:
        raise StorageError(path, f"cannot be expressed as YAML: {reason_of(exc)}") from exc


def read_yaml(path: str, *, dates: bool = True, follow: bool = False) -> dict[str, object]:
    """Reads a YAML file that holds a mapping; an empty file is an empty one.

    Args:
        path: the file.
        dates: read plain dates as dates; without it they are texts, as expman-rs means them.
        follow: also read what a symbolic link leads to, as readers do.

    Raises:
        StorageError: it is absent, too large, not YAML, a YAML bomb, or no plain file.
    """
    try:
        data = read_regular(path, most_bytes=MAX_YAML_BYTES + 1, follow=follow)
    except IrregularFileError as exc:  # what it holds is wrong; trying again does not help
        raise storage_error(path, exc) from None
    except OSError as exc:
        raise storage_error(path, exc) from exc
    return parse_yaml(path, data, dates=dates)


def parse_yaml(path: str, data: bytes, *, dates: bool = True) -> dict[str, object]:
    """Parses what a YAML file holds, as read_yaml does; `path` is for the message.

    Raises:
        StorageError: it is too large, not YAML, or a YAML bomb.
    """
    if len(data) > MAX_YAML_BYTES:
        raise StorageError(path, f"larger than {MAX_YAML_BYTES} bytes, which no run writes")
    plain = read_plain_mapping(data, _is_text)
    if plain is not None:
        return {**plain}
    try:
        _refuse_bombs(path, data)
        found = yaml.load(data, Loader=_DateReader if dates else _Reader)
    except StorageError:
        raise
    except Exception as exc:  # PyYAML raises AttributeError over some dates, and more
        if "maximum nesting depth" in str(exc):  # libyaml 0.2.6 has a limit of its own
            raise StorageError(path, _TOO_DEEP) from exc
        raise StorageError(path, f"is not valid YAML: {exc}") from exc
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
                raise StorageError(path, _TOO_DEEP)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


class RunFile:
    """The run.yaml of one run."""

    def __init__(self, run_dir: str) -> None:
        self.path = os.path.join(run_dir, RUN_YAML)
        self._text = b""  # as it was written last

    def write(self, meta: RunMetadata) -> None:
        """Replaces run.yaml; `tags` and `description` are null if there are none.

        Values that it has no room for are left out and counted in `meta`; such scalars go to
        scalars.json.

        Durability: durable when it returns.

        Raises:
            StorageError: the file is as before.
        """
        scalars, vectors = leave_out(meta)
        run_dir = os.path.dirname(self.path)
        rest = {key: value for key, value in meta.scalars.items() if key not in scalars}
        if rest:
            write_rest(run_dir, rest)
        fields = msgspec.to_builtins(meta) | {"scalars": scalars, "vectors": vectors}
        fields["tags"] = meta.tags or None
        fields["earlier_attempts"] = [OneLine(one) for one in fields["earlier_attempts"]]
        fields["best"] = {name: _shown_best(best) for name, best in fields["best"].items()}
        if meta.rank is not None:  # a number, as in expman-rs, which cannot read a mapping there
            fields |= fields.pop("rank")
        ordered = {key: fields.pop(key) for key in RUN_KEYS}
        document = {**ordered, **fields}
        text = large_yaml(document) or dump_yaml(self.path, document)
        replace_file(self.path, text)
        self._text = text
        if not rest:
            write_rest(run_dir, {})

    def beat(self, heartbeat_at: str) -> bool:
        """Replaces run.yaml by one with another `heartbeat_at`; the rest is not expressed anew.

        Returns:
            False: this object has not written it yet.

        Durability: durable when it returns.

        Raises:
            StorageError: the file is as before.
        """
        text, count = _HEARTBEAT.subn(b"heartbeat_at: '%s'" % heartbeat_at.encode(), self._text, 1)
        if count:
            replace_file(self.path, text)
            self._text = text
        return bool(count)

    def read(self) -> RunMetadata:
        """Reads run.yaml; keys it does not know are ignored, absent ones have their default.

        Raises:
            StorageError: it is absent or damaged.
        """
        return to_metadata(self.path, read_yaml(self.path))


def _shown_best(best: dict[str, object]) -> OneLine:
    """The numbers of a metric; without those of the first that is not finite, if all are."""
    if best["nonfinite"] is None:
        best = {key: value for key, value in best.items() if not key.startswith("nonfinite")}
    return OneLine(best)


def leave_out(meta: RunMetadata) -> tuple[dict[str, MetricValue], dict[str, MetricValue]]:
    """The scalars and latest values that run.yaml has room for; counts the others in `meta`."""
    vectors = {key: shortened(value) for key, value in meta.vectors.items()}
    kept_scalars, kept_vectors = fitting(meta.scalars), fitting(vectors)
    meta.scalars_left_out = len(meta.scalars) - len(kept_scalars)
    meta.vectors_left_out = len(vectors) - len(kept_vectors)
    return kept_scalars, kept_vectors


def add_rest(path: str, found: dict[str, object]) -> None:
    """Adds the scalars that the run.yaml at `path`, which holds `found`, has no room for.

    Raises:
        StorageError: they cannot be read.
    """
    scalars = found.get("scalars") or {}
    if found.get("scalars_left_out") and isinstance(scalars, dict):
        found["scalars"] = {**scalars, **read_rest(os.path.dirname(path))}


def to_metadata(path: str, found: dict[str, object]) -> RunMetadata:
    """Makes metadata of the mapping `found` of a run.yaml, which it changes.

    Args:
        path: the file, for messages and for scalars.json beside it.
        found: its content.

    Raises:
        StorageError: a value is not what its key asks for.
    """
    run_dir = os.path.dirname(os.path.abspath(path))
    found.setdefault("name", os.path.basename(run_dir))
    found.setdefault("experiment", os.path.basename(os.path.dirname(run_dir)))
    for key in ("scalars", "vectors", "best"):
        if found.get(key) is None:
            found.pop(key, None)
    add_rest(path, found)
    if isinstance(found.get("rank"), int):
        found["rank"] = {key: found.get(key) for key in ("rank", "local_rank", "world_size")}
    try:
        # Timestamps written without quotes come back as datetime: give them as text.
        return msgspec.convert(_iso(found), RunMetadata)
    except msgspec.ValidationError as exc:
        raise StorageError(path, str(exc)) from exc


def _iso(found: dict[str, object]) -> dict[str, object]:
    times = {
        key: value.isoformat()
        for key in ("started_at", "finished_at", "heartbeat_at")
        if hasattr(value := found.get(key), "isoformat")
    }
    return {**found, **times}
