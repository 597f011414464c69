"""What may stand in place of a run's file."""

from __future__ import annotations

import os
import socket
from pathlib import Path

__all__ = ["KINDS", "plant"]

KINDS = ("pipe", "socket", "device", "directory", "link-to-pipe", "dangling")


def plant(kind: str, path: Path, aim: Path) -> None:
    """Puts something of this kind at `path`; `aim` is what a link leads to."""
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as sock:
                here = os.open(".", os.O_RDONLY)
                try:
                    os.chdir(path.parent)  # the name of a socket may have 107 bytes
                    sock.bind(path.name)
                finally:
                    os.fchdir(here)
                    os.close(here)
        case "device":
            path.symlink_to("/dev/zero")
        case "directory":
            path.mkdir()
        case "link":
            path.symlink_to(aim)
        case "link-to-pipe":
            os.mkfifo(aim)
            path.symlink_to(aim)
        case "dangling":
            path.symlink_to("nowhere")
