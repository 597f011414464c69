"""Finds the shared writer that the user names."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from expman import notices
from expman.errors import ConfigError, ExpmanError
from expman.transport import segment
from expman.transport.address_control import AddressControl

__all__ = ["VARIABLE", "find_shared_writer"]

VARIABLE = "EXPMAN_WRITER"


def find_shared_writer(
    setting: str | None, warn: Callable[[str], None] = notices.warn
) -> segment.Address | None:
    """The writer that the setting, or else EXPMAN_WRITER, names: its address or ready file.

    Args:
        setting: what the user's configuration has.
        warn: called with a text for the user if that writer cannot be used.

    Returns:
        None if none is named, or if it does not serve: the engine goes on with a writer of its
        own.

    Raises:
        ConfigError: the setting is neither an address nor a path of a file with one.
    """
    text = setting or os.environ.get(VARIABLE) or None
    if text is None:
        return None
    try:
        address = segment.Address.parse(_read_ready_file(text))
        base = segment.attach(address.place, address.segment())
    except OSError as exc:
        warn(_unusable(text, exc.strerror or str(exc)))
        return None
    except ConfigError:
        if setting is not None:
            raise ConfigError(
                "writer", setting, "must be an address of expman-writer or its ready file"
            ) from None
        warn(_unusable(text, "is not an address"))
        return None
    try:
        if AddressControl.open(base).stopping or not base.is_locked():
            warn(_unusable(text, "has ended"))
            return None
    except ExpmanError as exc:
        warn(_unusable(text, str(exc)))
        return None
    finally:
        base.close()
    return address


def _read_ready_file(text: str) -> str:
    if "/" not in text.partition(":")[0]:
        return text
    # It may stand where anybody can make files: another user's pipe must not stop the trainer.
    fd = os.open(text, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise OSError(errno.EINVAL, "it is not a plain file")
        if info.st_uid not in (os.geteuid(), 0):
            raise PermissionError(errno.EPERM, "it belongs to another user")
        return os.read(fd, 4096).decode("ascii", errors="replace").strip()
    finally:
        os.close(fd)


def _unusable(text: str, why: str) -> str:
    return f"expman: the shared writer {text} cannot be used ({why}); this run starts its own"
