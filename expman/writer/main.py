"""The `expman-writer` command."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Sequence

from expman.errors import ExpmanError
from expman.transport.segment import Address

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code (0 done, 1 failed, 2 wrong usage)."""
    parser = argparse.ArgumentParser(prog="expman-writer", description="Writes the files of runs.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve the lanes of an address until its runs end")
    serve.add_argument("--address", required=True, help="shm:TOKEN or DIRECTORY:TOKEN")
    recover = commands.add_parser("recover", help="finish runs whose trainer and writer are gone")
    recover.add_argument("base_dir", help="directory that holds the experiments")
    recover.add_argument("--dry-run", action="store_true", help="only list what would be done")
    options = parser.parse_args(arguments)
    try:
        if options.command == "serve":
            return _serve(options.address)
        from expman.writer.recover import recover as run_recovery

        for line in run_recovery(options.base_dir, dry_run=options.dry_run):
            print(line)
    except ExpmanError as exc:
        print(f"expman-writer: {exc}", file=sys.stderr)
        return 1
    return 0


def _serve(text: str) -> int:
    address = Address.parse(text)
    from expman.writer.loop import Server

    gc.freeze()
    try:
        server = Server(address)
    except FileNotFoundError:
        return 0  # the run has ended meanwhile
    server.serve()
    os._exit(0)  # everything is written; skip the interpreter's tear-down
