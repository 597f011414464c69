"""skorch: `NeuralNet(…, callbacks=[SkorchCallback(…)])`."""

from __future__ import annotations

from typing import Any

from expman.engine import LoggingEngine
from expman.experiment import Experiment
from expman.integrations.own_run import OwnRun, needs

with needs("skorch"):
    from skorch.callbacks import Callback

__all__ = ["SkorchCallback"]


class SkorchCallback(Callback):
    """Logs a row per epoch of the net's history, as `train_loss`, and its parameters.

    An epoch that is the best so far, as skorch judges it, sets `valid_loss_best` and the like.

    Args:
        experiment: the experiment's name, for a run of its own.
        run: the run to log to; None: the current run of `expman.init()`, else one of its own,
            which ends with the training.
        settings: arguments of `expman.Experiment`, for a run of its own.
    """

    def __init__(
        self,
        experiment: str = "skorch",
        run: Experiment | LoggingEngine | None = None,
        **settings: Any,
    ) -> None:
        self.experiment = experiment
        self.run = run
        self.settings = settings
        self._run = OwnRun(experiment, run, settings)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """What scikit-learn makes a copy of this from, as in a grid search."""
        return {"experiment": self.experiment, "run": self.run, **self.settings}

    def on_train_begin(self, net: Any, **others: Any) -> None:
        """Begins the run and records the net's parameters."""
        self._run.begin_training()
        params = net.get_params(deep=False)
        self._run.log_params({key: params[key] for key in params if key != "callbacks"})

    def on_epoch_end(self, net: Any, **others: Any) -> None:
        """Logs a row."""
        latest = dict(net.history[-1])
        latest.pop("batches", None)
        epoch = latest.pop("epoch", None)
        row = {}
        for key, value in latest.items():
            if not key.endswith("_best"):
                row[key] = value
            elif value and (name := key.removesuffix("_best")) in latest:
                self._run.log_scalar(key, latest[name])
        self._run.log(row, epoch)

    def on_train_end(self, net: Any, **others: Any) -> None:
        """Ends a run of its own."""
        self._run.end()
