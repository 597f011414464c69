"""The relay: when it ends the recording, and when not."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import expman
from expman import ExperimentConfig, LoggingEngine
from expman.capture.descriptors import CATCH_UP, END
from expman.relay.console_relay import ConsoleRelay


def wait_for_line(run_dir: str, text: str) -> None:
    deadline = time.monotonic() + 120
    while text not in [line.text for line in expman.Run(run_dir).console()]:
        assert time.monotonic() < deadline, text
        time.sleep(0.01)


def test_a_program_that_closes_its_descriptors(run_base: Path) -> None:
    """A hang-up of the request's pipe is no request: what is printed later is recorded."""
    config = ExperimentConfig("e", str(run_base), run_name="r", redirect_console=False)
    with LoggingEngine(config) as engine:
        request, asks = os.pipe()
        answers, answer = os.pipe()
        source, sink = os.pipe()
        seen, target = os.pipe()
        relay = ConsoleRelay(engine.address, request, answer)
        relay.add("out", source, target)
        thread = threading.Thread(target=relay.run)
        thread.start()
        try:
            os.write(sink, b"before\n")
            for count in range(1, 4):  # several that nobody has waited for are no other request
                os.write(asks, CATCH_UP * count)
                assert CATCH_UP == os.read(answers, 9)
            assert b"before\n" == os.read(seen, 99)
            wait_for_line(engine.run_dir, "before")
            os.close(asks)
            time.sleep(0.1)
            os.write(sink, b"after\n")
            wait_for_line(engine.run_dir, "after")
        finally:
            os.close(sink)
            thread.join()
        assert END == os.read(answers, 9)
        assert b"after\n" == os.read(seen, 99)
        for fd in (request, answers, answer, source, seen, target):
            os.close(fd)
