"""Large trees of plain values as YAML, without PyYAML: it takes 100 µs for each value.

What is written here is the part of YAML in which nothing can go wrong: block collections, numbers,
plain texts of a few safe characters, quoted ones, and mappings of scalars on one line. A tree with
anything else is left to PyYAML, and so are small trees, which look as they always did.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["FEWEST_VALUES", "OneLine", "count_values", "float_text", "large_yaml"]

FEWEST_VALUES = 1000
_MOST_DEPTH = 20
_MOST_KEY = 100
"""Longer keys have a form of their own in YAML."""
_SAFE = re.compile(r"[A-Za-z][\w./+@-]*(?: [\w./+@-]+)*", re.ASCII)
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Texts that YAML 1.1 or 1.2 reads as something else."""


class OneLine(dict[str, object]):
    """A mapping that is written on one line."""


class _OtherError(Exception):
    """The tree has a value that is left to PyYAML."""


def count_values(tree: object, most: int) -> int:
    """How many values a tree has; it is not looked at further once there are `most`."""
    waiting, count = [tree], 0
    while waiting and count < most:
        node = waiting.pop()
        if type(node) is dict:
            waiting.extend(node.values())
            count += len(node)
        elif type(node) is list:
            waiting.extend(node)
            count += len(node)
    return count


def large_yaml(tree: Mapping[str, object]) -> bytes | None:
    """The text of a large tree; None if it is small, or has values that are left to PyYAML."""
    if count_values(dict(tree), FEWEST_VALUES) < FEWEST_VALUES:
        return None
    try:
        return ("\n".join(_mapping(tree, "", 0)) + "\n").encode()
    except (_OtherError, ValueError):  # an int of too many digits, text that UTF-8 cannot hold
        return None


def _mapping(tree: Mapping[Any, object], indent: str, depth: int) -> Iterator[str]:
    for key, value in tree.items():
        name = _key(key)
        if type(value) is OneLine:
            yield f"{indent}{name}: {_one_line(value)}"
        elif type(value) is dict and value:
            yield f"{indent}{name}:"
            yield from _mapping(value, indent + "  ", _deeper(depth))
        elif type(value) is list and value:
            yield f"{indent}{name}:"
            yield from _sequence(value, indent, _deeper(depth))
        else:
            yield f"{indent}{name}: {_scalar(value)}"


def _one_line(values: OneLine) -> str:
    return f"{{{', '.join(f'{_key(key)}: {_scalar(value)}' for key, value in values.items())}}}"


def _key(key: object) -> str:
    if type(key) not in (str, int):
        raise _OtherError
    name = _scalar(key)
    if len(name) > _MOST_KEY:
        raise _OtherError
    return name


def _sequence(items: list[object], indent: str, depth: int) -> Iterator[str]:
    for item in items:
        inner = indent + "  "
        if type(item) is dict and item:
            lines = _mapping(item, inner, _deeper(depth))
        elif type(item) is list and item:
            lines = _sequence(item, inner, _deeper(depth))
        else:
            text = _one_line(item) if type(item) is OneLine else _scalar(item)
            yield f"{indent}- {text}"
            continue
        yield f"{indent}- {next(lines)[len(inner) :]}"
        yield from lines


def _deeper(depth: int) -> int:
    if depth >= _MOST_DEPTH:
        raise _OtherError
    return depth + 1


def _scalar(value: object) -> str:
    kind = type(value)
    if kind is str:
        return _text(value)  # type: ignore[arg-type]
    if kind is float:
        return float_text(value)  # type: ignore[arg-type]
    if kind is int:
        return str(value)
    if kind is bool:
        return "true" if value else "false"
    if value is None:
        return "null"
    if value == {} or value == []:
        return str(value)
    raise _OtherError


def _text(value: str) -> str:
    if _SAFE.fullmatch(value) and value.lower() not in _WORDS:
        return value
    if value.isascii() and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    if value.replace("\n", "").replace("\t", "").isprintable():
        return json.dumps(value, ensure_ascii=False)  # its escapes are those of YAML, too
    raise _OtherError


def float_text(value: float) -> str:
    """A float as YAML 1.1 and 1.2 read it."""
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    text = repr(value)
    mantissa, mark, exponent = text.partition("e")
    if mark:  # YAML 1.1 wants a dot and a sign: 1e-05 would be a text
        mantissa = mantissa if "." in mantissa else mantissa + ".0"
        text = f"{mantissa}e{exponent if exponent[0] in '+-' else '+' + exponent}"
    return text
