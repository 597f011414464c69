"""Starts a relay, see `console_relay`. The engine starts it, with the descriptors that it needs."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from expman.relay.console_relay import ConsoleRelay

__all__ = ["main"]

_ITS_READERS_DECIDE = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTTOU)


def main(arguments: Sequence[str] | None = None) -> int:
    """Relays until nobody can print any more.

    Args:
        arguments: the run's address, the descriptor that asks to finish, the one that shows that it
            has, and for each stream NAME:SOURCE:TARGET.
    """
    for number in _ITS_READERS_DECIDE:  # it ends with the streams' last writer
        signal.signal(number, signal.SIG_IGN)
    address, request, answer, *streams = sys.argv[1:] if arguments is None else arguments
    relay = ConsoleRelay(address, int(request), int(answer))
    for stream in streams:
        name, source, target = stream.split(":")
        relay.add(name, int(source), int(target))
    relay.run()
    return 0
