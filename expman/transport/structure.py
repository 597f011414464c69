"""Takes apart objects that hold a configuration.

Objects of a framework are recognised by attributes of their class or by the name of a base class:
no framework is imported here. An exception that a foreign object raises while its parts are read
goes to the caller.
"""

from __future__ import annotations

import sys
import types
from collections import abc
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, TypeAlias

import msgspec

__all__ = ["Pairs", "has_base", "listed_parts", "named_parts"]

Pairs: TypeAlias = list[tuple[object, object]]

_LISTED = (abc.Sequence, abc.Set, abc.KeysView, abc.ValuesView, abc.ItemsView)
_ABSENT = object()


def has_base(value: object, package: str, *names: str) -> bool:
    """True if the class of a value, or one of its bases, has one of these names in a package."""
    return any(
        base.__name__ in names and base.__module__.partition(".")[0] == package
        for base in type(value).__mro__
    )


def named_parts(value: object, most: int) -> Pairs | None:
    """The parts of an object by name; None if its parts have no names.

    Parts with names have: mappings, argparse.Namespace and SimpleNamespace, dataclasses, attrs
    classes, pydantic models, msgspec Structs, named tuples, OmegaConf's DictConfig, data frames
    (their columns), and objects with a `to_dict()`.

    Args:
        value: the object.
        most: how many parts of a mapping are read; some mappings are endless.
    """
    if isinstance(value, type):
        return None
    if has_base(value, "omegaconf", "ListConfig"):
        return None
    if has_base(value, "omegaconf", "DictConfig"):
        return _omegaconf_parts(value)
    if isinstance(value, Mapping):
        return list(islice(value.items(), most))
    names = _field_names(value)
    if names is not None:
        found = ((name, getattr(value, name, _ABSENT)) for name in names)
        return [(name, part) for name, part in found if part is not _ABSENT]
    if isinstance(value, types.SimpleNamespace) or has_base(value, "argparse", "Namespace"):
        return list(vars(value).items())
    return _converted_parts(value)


def _field_names(value: object) -> Iterable[str] | None:
    """The attributes that are an object's fields: no ClassVar, InitVar or property."""
    kind: Any = type(value)
    if hasattr(kind, "__dataclass_fields__"):
        fields = sys.modules["dataclasses"].fields(kind)
        return [field.name for field in fields]
    if isinstance(value, msgspec.Struct):
        return value.__struct_fields__
    if hasattr(kind, "__attrs_attrs__"):
        return [attribute.name for attribute in kind.__attrs_attrs__]
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return tuple(kind._fields)
    if has_base(value, "pydantic", "BaseModel"):
        declared = getattr(kind, "model_fields", None)
        if declared is None:  # version 1
            return list(vars(value))
        return [*declared, *(getattr(value, "model_extra", None) or ())]
    return None


def _converted_parts(value: Any) -> Pairs | None:
    kind = type(value)
    if hasattr(kind, "dtype"):
        return None  # an array or a series
    if hasattr(kind, "columns") and hasattr(kind, "shape"):
        return [(name, value[name]) for name in value.columns]
    if hasattr(kind, "to_dict"):
        made = value.to_dict()
        return list(made.items()) if isinstance(made, dict) else None
    return None


def listed_parts(value: object, most: int) -> list[object] | None:
    """The elements of an object in order; None if it is not a sequence, a set or a view.

    The elements of a set are sorted, so that equal sets look equal.
    """
    if has_base(value, "omegaconf", "ListConfig"):
        parts = _omegaconf_parts(value)
        return None if parts is None else [part for _, part in parts]
    if isinstance(value, set | frozenset):
        return _sorted(value)
    if isinstance(value, _LISTED):
        return list(islice(iter(value), most))
    return None


def _sorted(values: Iterable[Any]) -> list[object]:
    found = list(values)
    kinds = set(map(type, found))
    if kinds <= {int, float, bool} or kinds == {str}:
        return sorted(found)
    return sorted(found, key=lambda one: (type(one).__name__, str(one)))


def _omegaconf_parts(value: Any) -> Pairs | None:
    """The parts of an OmegaConf container, with interpolations resolved.

    A value that is missing or cannot be resolved stays as it is written.

    Returns:
        None: the container itself is None, missing, or an interpolation.
    """
    written = sys.modules["omegaconf"].OmegaConf.to_container(value, resolve=False)
    if isinstance(written, dict):
        return [(key, _resolved(value, key, part)) for key, part in written.items()]
    if isinstance(written, list):
        return [(key, _resolved(value, key, part)) for key, part in enumerate(written)]
    return None


def _resolved(value: Any, key: object, written: object) -> object:
    try:
        return value[key]
    except Exception:  # noqa: BLE001 - a resolver is the user's, and may raise anything
        return written
