"""Checks of names and settings. Each takes the label that an error gives the value."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Set
from itertools import islice
from typing import Any

from expman.errors import ConfigError

__all__ = [
    "LATEST",
    "STORE_SCHEMES",
    "check_choice",
    "check_console",
    "check_count",
    "check_directory",
    "check_flag",
    "check_mirror",
    "check_name",
    "check_new_name",
    "check_project",
    "check_rank",
    "check_tags",
    "check_text",
    "check_text_or_none",
    "shown_url",
]

STORE_SCHEMES = ("s3", "gs", "gcs", "az", "abfs", "abfss", "file")
LATEST = "latest"
"""Stands for the newest run wherever a run is named, so no new run gets this name."""
MAX_NAME_BYTES = 255
MAX_TAGS = 1000
MAX_NUMBER = 2**63 - 1
"""The columns and the records hold no larger number."""


def check_text(label: str, value: object) -> str:
    """Returns the text itself as a plain str, because a subclass may override methods.

    Raises:
        ConfigError: naming the rule that is broken, as all checks here do.
    """
    if not isinstance(value, str):
        raise ConfigError(label, value, "must be text")
    plain = str.__str__(value)
    try:
        plain.encode()
    except UnicodeEncodeError:  # lone surrogates: neither a record nor a file can hold them
        raise ConfigError(
            label, value, "must be valid text: a path's bytes must be UTF-8, and the locale, too"
        ) from None
    return plain


def check_text_or_none(label: str, value: object) -> str | None:
    """Returns the text itself as a plain str, or None."""
    return None if value is None else check_text(label, value)


def check_project(label: str, value: object) -> str:
    """Returns a project's name without blanks around it; it must have other characters."""
    plain = check_text(label, value).strip()
    if not plain:
        raise ConfigError(label, value, "must not be blank; leave it out, or pass None, for none")
    return plain


def check_name(label: str, value: object) -> str:
    """Checks that a name is one plain directory name."""
    plain = check_text(label, value)
    if not plain:
        raise ConfigError(label, plain, "must not be empty")
    if plain in (".", ".."):
        raise ConfigError(label, plain, "must not be . or ..")
    if "/" in plain or os.sep in plain or (os.altsep and os.altsep in plain):
        raise ConfigError(label, plain, "must not contain a path separator")
    if any(ord(char) < 32 or ord(char) == 127 for char in plain):
        raise ConfigError(label, plain, "must not contain NUL or other control characters")
    length = len(os.fsencode(plain))
    if length > MAX_NAME_BYTES:
        raise ConfigError(
            label, plain, f"must not be longer than {MAX_NAME_BYTES} bytes, is {length}"
        )
    return plain


def check_new_name(label: str, value: object) -> str:
    """Checks a name that something gets; directories that begin with a dot are hidden."""
    plain = check_name(label, value)
    if plain.startswith("."):
        raise ConfigError(label, plain, "must not begin with a dot: such directories are hidden")
    return plain


def check_directory(label: str, value: object) -> str:
    """Checks a path; an os.PathLike becomes text."""
    try:
        plain = os.fspath(value)  # type: ignore[call-overload]
    except TypeError:
        raise ConfigError(label, value, "must be a path") from None
    if not isinstance(plain, str) or not plain or "\0" in plain:
        raise ConfigError(label, value, "must be a non-empty text path without NUL")
    return check_text(label, plain)


def check_tags(label: str, value: object) -> tuple[str, ...]:
    """Checks tags. A single text is one tag; sets are sorted, since they have no order."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (check_text(label, value),)
    rule = "must be a string or a sequence of strings"
    if isinstance(value, Mapping | bytes) or not isinstance(value, Iterable):
        raise ConfigError(label, value, rule)
    try:
        given = list(islice(value, MAX_TAGS + 1))
    except Exception as exc:  # a foreign object may raise anything
        raise ConfigError(label, value, rule) from exc
    if len(given) > MAX_TAGS:
        raise ConfigError(label, given[:3], f"must not be more than {MAX_TAGS}")
    plain = [check_text(label, tag) for tag in given]
    return tuple(sorted(plain) if isinstance(value, Set) else plain)


def check_count(label: str, value: object, least: int = 1) -> int:
    """Checks a whole number of at least 1, or of at least another number."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(label, value, f"must be a whole number of at least {least}")
    if value > MAX_NUMBER:
        raise ConfigError(label, value, f"must not be greater than {MAX_NUMBER}")
    return int(value)


def check_rank(label: str, value: object) -> int:
    """Checks a whole number of at least 0."""
    return check_count(label, value, 0)


def check_flag(label: str, value: object) -> bool:
    """Checks a boolean."""
    if not isinstance(value, bool):
        raise ConfigError(label, value, "must be True or False (in a variable: 1 or 0)")
    return value


def check_console(label: str, value: object) -> Any:
    """Checks how the console is recorded: False, True ("wrap" means the same), or "fd"."""
    if not isinstance(value, str | bool):
        raise ConfigError(label, value, 'must be True, False, "wrap" or "fd"')
    if isinstance(value, bool):
        return value
    return "fd" if check_choice(label, value, "wrap", "fd") == "fd" else True


def shown_url(url: str) -> str:
    """Returns a URL of a store without options, and without a password, for messages and files."""
    return re.sub(r"://[^/@]*:[^/@]*@", "://", url.partition("?")[0], count=1)


def check_mirror(label: str, value: object) -> str:
    """Checks the URL of an object store: it is recorded, so it may hold no password."""
    plain = check_text(label, value)
    scheme, separator, rest = plain.partition("://")
    if not separator or scheme not in STORE_SCHEMES or not rest:
        known = ", ".join(f"{one}://" for one in STORE_SCHEMES)
        raise ConfigError(label, plain, f"must be a URL that begins with one of {known}")
    if scheme == "s3" and "@" in rest.partition("/")[0]:
        rule = "must not hold credentials; use AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        raise ConfigError(label, f"{scheme}://…", rule)
    return plain


def check_choice(label: str, value: object, *known: str) -> Any:
    """Checks that a text is one of those that are known."""
    plain = str.__str__(value) if isinstance(value, str) else None
    if plain not in known:
        words = " or ".join(f'"{word}"' for word in known)
        raise ConfigError(label, value, f"must be {words}")
    return plain
