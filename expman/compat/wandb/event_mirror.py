"""`sync_tensorboard=True`: what a SummaryWriter of torch or tensorboardX gets comes here, too."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from expman.integrations.own_run import OwnRun
from expman.integrations.tensorboard import SummaryWriter

__all__ = ["mirror_event_writers"]

_MODULES = {"torch": "torch.utils.tensorboard", "tensorboardX": "tensorboardX"}
_mirrors: list[tuple[OwnRun, SummaryWriter]] = []
_here = threading.local()


def mirror_event_writers(own: OwnRun) -> Callable[[], None]:
    """Has the add_ methods of the SummaryWriter classes call ours, too; returns what ends it.

    Durability: what a method was given is published when it returns.
    """
    for writer in _writers():
        if not hasattr(writer, "_expman_mirrors"):
            writer._expman_mirrors = True
            for name in dir(writer):
                if name.startswith("add_") and hasattr(SummaryWriter, name):
                    setattr(writer, name, _with_mirror(name, getattr(writer, name)))
    mirror = (own, SummaryWriter())  # it joins the current run
    _mirrors.append(mirror)

    def end() -> None:
        if mirror in _mirrors:
            _mirrors.remove(mirror)

    return end


def _writers() -> Iterator[Any]:
    for package, module in _MODULES.items():
        if package in sys.modules or importlib.util.find_spec(package) is not None:
            try:
                yield importlib.import_module(module).SummaryWriter
            except ImportError:  # torch without tensorboard
                continue


def _with_mirror(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(_here, "inside", False):  # add_hparams calls add_scalar
            return original(self, *args, **kwargs)
        _here.inside = True
        try:
            for own, writer in list(_mirrors):
                own.attempt(lambda _, to=writer: getattr(to, name)(*args, **kwargs))
            return original(self, *args, **kwargs)
        finally:
            _here.inside = False

    return call
