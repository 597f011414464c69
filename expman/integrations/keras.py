"""Keras 3: `model.fit(callbacks=[KerasCallback(…)])`."""

from __future__ import annotations

from typing import Any

from expman.engine import LoggingEngine
from expman.experiment import Experiment
from expman.integrations.own_run import OwnRun, needs

with needs("keras"):
    from keras.callbacks import Callback

__all__ = ["KerasCallback"]


class KerasCallback(Callback):
    """Logs a row per epoch, and if asked for one per some batches.

    Args:
        experiment: the experiment's name, for a run of its own.
        run: the run to log to; None: the current run of `expman.init()`, else one of its own,
            which ends with the training.
        every_batches: also log each so many batches, as `batch/loss` with the number of the batch
            over all epochs as step; 0: none. Reading a metric waits for the device.
        log_model: keep the model as an artifact, `model.keras`, when the training has ended.
        settings: arguments of `expman.Experiment`, for a run of its own.
    """

    def __init__(
        self,
        experiment: str = "keras",
        run: Experiment | LoggingEngine | None = None,
        *,
        every_batches: int = 0,
        log_model: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__()
        self._run = OwnRun(experiment, run, settings)
        self._every = every_batches
        self._log_model = log_model
        self._batches = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begins the run and records what `fit` was given."""
        self._run.begin_training()
        self._batches = 0
        optimizer = getattr(self.model, "optimizer", None)
        params = {"fit": self.params}
        if optimizer is not None:
            params["optimizer"] = optimizer.get_config()
        self._run.log_params(params)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Logs a row if it is this batch's turn."""
        self._batches += 1
        if self._every and self._batches % self._every == 0 and logs:
            row = {f"batch/{key}": float(value) for key, value in logs.items()}
            self._run.log(row, self._batches)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Logs a row."""
        self._run.log({key: float(value) for key, value in (logs or {}).items()}, epoch)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Ends a run of its own."""
        if self._log_model:
            self._run.keep("model.keras", self.model.save)
        self._run.end()
