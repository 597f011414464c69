"""Reads the YAML that nearly all files of runs consist of, four times as fast as libyaml.

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
    rf"(?P<int>{_INT})|(?P<float>{_FLOAT})|(?P<text>{_TEXT})|'(?P<quoted>[ -&(-~]*)'"
    rf"|\{{(?P<mapping>(?:{_NUMBERS}(?:, {_NUMBERS})*)?)\}}|(?P<list>\[\])"
)
_entry = re.compile(rf"( *)({_KEY}):(?: (?:{_VALUE}))?", re.ASCII).fullmatch
_item = re.compile(rf"( *)- (?:{_VALUE})", re.ASCII).fullmatch
_numbers = re.compile(
    rf"({_KEY}): (?:(?P<int>{_INT})|(?P<float>{_FLOAT})|(?P<text>null))(?:, |$)", re.ASCII
).finditer
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
    try:
        return _read(data.decode("ascii").removesuffix("\n").split("\n"), is_text)
    except _OtherError:
        return None


def _read(lines: list[str], is_text: Callable[[str], bool]) -> dict[str, PlainValue]:
    top: dict[str, PlainValue] = {}
    mapping, indent = top, 0
    above: list[tuple[dict[str, PlainValue], int]] = []
    waiting: str | None = None  # the key of the line before, if that had no value
    items: list[PlainValue] | None = None  # the list that the line before belongs to
    for line in lines:
        found = _entry(line)
        if found is None:
            found = _item(line)
            if found is None or len(found[1]) != indent:
                raise _OtherError
            if items is None:
                if waiting is None:
                    raise _OtherError
                items = mapping[waiting] = []
                waiting = None
            items.append(_value(found, is_text))
            continue
        depth = len(found[1])
        if depth > indent:
            if waiting is None or len(above) >= MOST_LEVELS:
                raise _OtherError
            above.append((mapping, indent))
            inner: dict[str, PlainValue] = {}
            mapping[waiting] = inner
            mapping, indent = inner, depth
        elif depth < indent:
            while above and depth < indent:
                mapping, indent = above.pop()
            if depth != indent:
                raise _OtherError
        items = None
        key = _checked(found[2], is_text)
        if found.lastindex == 2:
            waiting, mapping[key] = key, None
        else:
            waiting, mapping[key] = None, _value(found, is_text)
    return top


def _checked(text: str, is_text: Callable[[str], bool]) -> str:
    if text[0] in _TYPED and not is_text(text):
        raise _OtherError
    return text


def _value(found: re.Match[str], is_text: Callable[[str], bool]) -> PlainValue:
    kind = found.lastgroup
    text = found[found.lastindex or 0]
    match kind:
        case "text":
            return _WORDS[text] if text in _WORDS else _checked(text, is_text)
        case "int":
            return int(text)
        case "float":
            return float(text.replace(".", "") if text[-1] in "fn" else text)
        case "quoted":
            return text
        case "mapping":
            return _numbers_of(text, is_text)
        case _:
            return []


def _numbers_of(text: str, is_text: Callable[[str], bool]) -> dict[str, PlainValue]:
    return {_checked(one[1], is_text): _value(one, is_text) for one in _numbers(text)}
