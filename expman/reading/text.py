"""Text of others, made safe for a terminal and short enough for a line."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from expman.storage import escapes

__all__ = ["MAX_CHARACTERS", "format_name", "format_names", "format_text", "visible"]

MAX_CHARACTERS = 500
"""Longer values are cut and marked."""
MAX_NAME = 256
_NAMES = 8
# Controls (C0, DEL, C1), what turns the direction of writing or cannot be seen, line separators,
# surrogates, tags.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escape(character: str) -> str:
    return _SHORT.get(character) or escapes.escape(character)


def visible(text: str, *, keep: str = "", escape: Callable[[str], str] = _escape) -> str:
    """Replaces what would drive a terminal or mislead the eye by escapes such as `\\x1b`.

    Args:
        text: a name, a message, anything that others wrote.
        keep: characters that stay as they are, such as the ends of our own lines.
        escape: returns the replacement of a character.
    """
    return _UNSAFE.sub(lambda match: match[0] if match[0] in keep else escape(match[0]), text)


def format_text(text: str, limit: int = MAX_CHARACTERS) -> str:
    """Returns the text on one line, made visible; cut after `limit` characters and marked."""
    line = " ".join(text[: 4 * limit].split())
    shown = visible(line[:limit])
    if len(text) <= 4 * limit and len(line) <= limit and len(shown) <= limit:
        return shown
    return f"{shown[:limit]}… ({len(text):,} characters)"


def format_name(name: str) -> str:
    """Returns a name as it is; cut and marked only if it is longer than any sane one."""
    return name if len(name) <= MAX_NAME else format_text(name, MAX_NAME)


def format_names(names: Sequence[str]) -> str:
    """Returns the first names, and how many more there are."""
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(format_text(name, 80) for name in names[:_NAMES]) + more
