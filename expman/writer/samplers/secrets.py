"""Takes secrets out of command lines and addresses before they are written down."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

__all__ = ["MASK", "is_secret_file", "mask_arguments", "without_credentials"]

MASK = "***"
_NAME = re.compile(
    r"(?:.*[-_.])?(?:token|password|passwd|passphrase|pwd|secret|credentials?|auth"
    r"|(?:api|access|private|secret|ssh|encryption|wandb|hf)?[-_]?key)",
    re.IGNORECASE,
)
"""Names whose value is a secret: `--hf-token`, `db.password`, `api_key`; not `--max-tokens`."""
_LOOKS_SECRET = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}"
    r"|sk-[\w-]{16,}|xox[a-z]-[\w-]{10,}|AKIA[0-9A-Z]{16}|eyJ[\w-]{10,}\.[\w-]+\.[\w-]*)"
)
_USER_INFO = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s@]*@", re.IGNORECASE)
_SSH_USER = re.compile(r"(\bssh://[^:/\s@]*):[^/\s@]*@", re.IGNORECASE)
_SECRET_FILES = re.compile(
    r"(?:.*/)?(?:\.env(?:\..*)?|\.netrc|\.pgpass|id_[a-z0-9]+|.*\.(?:pem|key|p12|pfx|jks|kdbx)"
    r"|.*(?:secret|credential|password|token).*)",
    re.IGNORECASE,
)


def mask_arguments(arguments: Iterable[str]) -> list[str]:
    """The arguments of a command, with `***` in place of what may be a secret."""
    return list(_masked(arguments))


def _masked(arguments: Iterable[str]) -> Iterator[str]:
    follows_secret = False
    for argument in arguments:
        if follows_secret and not argument.startswith("-"):
            follows_secret = False
            yield MASK
            continue
        name, mark, value = argument.partition("=")
        is_secret = _NAME.fullmatch(name.lstrip("-+")) is not None
        if mark and is_secret:
            yield f"{name}={MASK if value else ''}"
            follows_secret = False
            continue
        follows_secret = is_secret and argument.startswith("-")
        yield without_credentials(_LOOKS_SECRET.sub(MASK, argument))


def without_credentials(address: str) -> str:
    """An address without user and password; the user of an ssh address stays."""
    address = _SSH_USER.sub(r"\1@", address)
    if address.lower().startswith("ssh://"):
        return address
    return _USER_INFO.sub(r"\1", address)


def is_secret_file(path: str) -> bool:
    """True if a file's name says that it may hold a secret."""
    return _SECRET_FILES.fullmatch(path) is not None
