"""`watch`: histograms of a torch model's gradients and parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from expman.compat.wandb.errors import UsageError
from expman.engine import LoggingEngine
from expman.integrations.tensors import array_of
from expman.shown import shown

__all__ = ["Watching"]

WHAT = ("gradients", "parameters", "all", None)


class Watching:
    """Models whose gradients and parameters become histograms, from time to time.

    torch calls hooks: those of a parameter in the backward pass, that of the model after the
    forward pass. Of every `log_freq` calls one makes a histogram.

    Args:
        log: makes a call of the run, and never raises.
        step: the run's current step.
    """

    def __init__(
        self, log: Callable[[Callable[[LoggingEngine], None]], None], step: Callable[[], int]
    ) -> None:
        self._log = log
        self._step = step
        self._handles: list[tuple[Any, Any]] = []

    def watch(
        self, models: Any, what: str | None, log_freq: int, index: int | None, with_graph: bool
    ) -> None:
        """Begins to watch.

        Raises:
            UsageError: `what` is something else, or a model is watched already.
            TypeError: it is not a model of torch.
        """
        if what not in WHAT:
            raise UsageError(f"log={shown(what)} must be 'gradients', 'parameters', 'all' or None")
        if log_freq < 1:
            raise UsageError(f"log_freq={log_freq} must be 1 or more")
        several = models if isinstance(models, list | tuple) else [models]
        for number, model in enumerate(several, start=index or 0):
            if not callable(getattr(model, "named_parameters", None)):
                raise TypeError(f"watch() takes models of torch, not {type(model).__name__}")
            if any(model is known for known, _ in self._handles):
                raise UsageError("the model is watched already; call unwatch(model) first")
            head = f"graph_{number}" if number else ""
            if what in ("parameters", "all"):
                self._watch_parameters(model, head, log_freq)
            if what in ("gradients", "all"):
                self._watch_gradients(model, head, log_freq)
            if with_graph:
                self._log(lambda engine, text=str(model): engine.log_text("graph", text))  # type: ignore[misc]

    def unwatch(self, models: Any = None) -> None:
        """Ends it; for all models if there is none."""
        several = models if isinstance(models, list | tuple) else [models]
        kept = []
        for model, handle in self._handles:
            if models is None or any(model is one for one in several):
                handle.remove()
            else:
                kept.append((model, handle))
        self._handles = kept

    def _watch_gradients(self, model: Any, head: str, log_freq: int) -> None:
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                record = self._recorder(f"{head}gradients/{name}", log_freq)
                self._handles.append((model, parameter.register_hook(record)))

    def _watch_parameters(self, model: Any, head: str, log_freq: int) -> None:
        recorders = [
            (parameter, self._recorder(f"{head}parameters/{name}", log_freq))
            for name, parameter in model.named_parameters()
        ]

        def after_forward(*_: object) -> None:
            for parameter, record in recorders:
                record(parameter)

        self._handles.append((model, model.register_forward_hook(after_forward)))

    def _recorder(self, tag: str, log_freq: int) -> Callable[[Any], None]:
        calls = 0

        def record(tensor: Any) -> None:
            nonlocal calls
            calls += 1
            if calls % log_freq == 0:
                if tensor.is_sparse:
                    tensor = tensor.coalesce().values()
                values = array_of(tensor.detach()).ravel()
                self._log(lambda engine: engine.log_histogram(tag, values, self._step()))

        return record
