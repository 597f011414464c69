"""Reads the YAML that nearly all files of runs consist of, six times as fast as libyaml.

That is ASCII: keys and plain values, one per line, mappings by indentation, lists of values, and
mappings of numbers on one line. Anything else is left to the full parser. What is read here means
the same there, by YAML 1.2, "Block Mappings" and "Plain Style"; a property test compares the two
(tests/property/test_plain_yaml.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["PlainValue", "read_plain_mapping"]

PlainValue: TypeAlias = "int | float | str | bool | list[PlainValue] | dict[str, PlainValue] | None"

MOST_LEVELS = 50
_INT = r"-?(?:0|[1-9][0-9]{0,17})"
_FLOAT = r"-?[0-9]+\.[0-9]+(?:[eE][-+]?[0-9]{1,4})?|-?\.inf|\.nan"
_KEY = r"[A-Za-z_/][\w./-]{0,200}"
# A colon is part of a text unless a blank follows, and so is a dash within one.
_WORD = r"(?:[\w./+=@%()~^$;<>-]|:(?=[\w./+=@-]))+"
_TEXT = rf"[0-9A-Za-z_/](?:{_WORD})?(?: {_WORD})*"
_NUMBERS = rf"{_KEY}: (?:{_INT}|{_FLOAT}|null)"
_VALUE = (
    rf"({_INT})|({_FLOAT})|({_TEXT})"
    rf"|('[ -&(-~]*'|\{{(?:{_NUMBERS}(?:, {_NUMBERS})*)?\}}|\[\])"
)
_lines = re.compile(rf"^( *)(?:({_KEY}):|-)(?: (?:{_VALUE}))?$", re.ASCII | re.MULTILINE).findall
_numbers = re.compile(rf"({_KEY}): (?:({_INT})|({_FLOAT})|null)(?:, |$)", re.ASCII).findall
_WORDS: dict[str, PlainValue] = {"null": None, "true": True, "false": False}
_TYPED = frozenset("0123456789tTfFnN")
"""First characters of plain scalars that may be something else than a text."""


class _OtherError(Exception):
    """The file needs the full parser."""


def read_plain_mapping(data: bytes, is_text: Callable[[str], bool]) -> dict[str, PlainValue] | None:
    """Reads a mapping; None if the full parser must be asked.

    Args:
        data: the file's content.
        is_text: whether a plain scalar is a text, and no number, date or word such as `null`.
    """
    if not data.isascii():
        return None
    text = data.decode("ascii").removesuffix("\n")
    lines = _lines(text)
    if len(lines) != text.count("\n") + 1:
        return None
    try:
        return _read(lines, is_text)
    except _OtherError:
        return None


def _read(
    lines: list[tuple[str, str, str, str, str, str]], is_text: Callable[[str], bool]
) -> dict[str, PlainValue]:
    """Makes a mapping of lines: indentation, key, and a value in one of four columns."""
    top: dict[str, PlainValue] = {}
    mapping, indent = top, ""
    above: list[tuple[dict[str, PlainValue], str]] = []
    waiting: str | None = None  # the key of the line before, if that had no value
    items: list[PlainValue] | None = None  # the list that the line before belongs to
    value: PlainValue
    for depth, key, integer, number, text, other in lines:
        if text:
            value = _WORDS[text] if text in _WORDS else _checked(text, is_text)
        elif integer:
            value = int(integer)
        elif number:
            value = _float(number)
        else:
            value = _other(other, is_text) if other else None
        has_value = bool(text or integer or number or other)
        if not key:
            if depth != indent or not has_value:
                raise _OtherError
            if items is None:
                if waiting is None:
                    raise _OtherError
                items = mapping[waiting] = []
                waiting = None
            items.append(value)
            continue
        if depth != indent:
            if len(depth) > len(indent):
                if waiting is None or len(above) >= MOST_LEVELS:
                    raise _OtherError
                above.append((mapping, indent))
                inner: dict[str, PlainValue] = {}
                mapping[waiting] = inner
                mapping, indent = inner, depth
            else:
                while above and len(depth) < len(indent):
                    mapping, indent = above.pop()
                if depth != indent:
                    raise _OtherError
        items = None
        if key[0] in _TYPED:
            _checked(key, is_text)
        mapping[key] = value
        waiting = None if has_value else key
    return top


def _checked(text: str, is_text: Callable[[str], bool]) -> str:
    if text[0] in _TYPED and not is_text(text):
        raise _OtherError
    return text


def _float(text: str) -> float:
    return float(text.replace(".", "") if text[-1] in "fn" else text)


def _other(text: str, is_text: Callable[[str], bool]) -> PlainValue:
    """A text in quotes, an empty list, or a mapping of numbers."""
    if text[0] == "'":
        return text[1:-1]
    if text[0] == "[":
        return []
    return {
        _checked(key, is_text): int(integer) if integer else _float(number) if number else None
        for key, integer, number in _numbers(text[1:-1])
    }
