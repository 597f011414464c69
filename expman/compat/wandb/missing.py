"""Names of wandb that are not here: a call says why, and what to use instead."""

from __future__ import annotations

from typing import Any

__all__ = ["MISSING", "missing"]

_SERVER = "there is no server"
_INTEGRATION = "expman has an integration of its own"
MISSING = {
    "Api": (_SERVER, "expman.runs() and expman.Run read runs"),
    "EvalTable": ("it belongs to wandb's page", "log a Table"),
    "Molecule": ("a run has no kind for molecules", "save() keeps the file"),
    "Object3D": ("a run has no kind for point clouds", "save() keeps the file"),
    "PublicApi": (_SERVER, "expman.runs() and expman.Run read runs"),
    "agent": ("expman starts no trials", "use Optuna or Ray Tune, or call the function in a loop"),
    "attach": (_SERVER, "expman.attach(address) joins a run of this machine"),
    "catboost": (_INTEGRATION + " for others", "log in a loop"),
    "controller": ("expman starts no trials", "use Optuna or Ray Tune"),
    "fastai": ("expman has no integration of it", "see docs/how-to/frameworks.md"),
    "gym": ("videos of gym are not taken over", "log({'video': Video(path)})"),
    "integration": (_INTEGRATION, "see docs/how-to/frameworks.md"),
    "keras": (_INTEGRATION, "expman.integrations.keras.KerasCallback"),
    "launch": ("expman starts no jobs", "use the scheduler"),
    "lightgbm": (_INTEGRATION, "expman.integrations.lightgbm.LightGBMCallback"),
    "link_artifact": ("there is no registry", "log_artifact() with aliases"),
    "link_model": ("there is no registry", "log_artifact() with aliases"),
    "plot_table": ("charts of Vega are not drawn", "log the Table"),
    "plots": ("the old charts are not drawn", "wandb.plot, or log a figure"),
    "restore": (_SERVER, "files are in artifacts/ of the run: expman.Run(path).artifacts"),
    "sacred": ("expman has no integration of it", "log in an observer"),
    "sklearn": ("its charts are not drawn", "log figures of matplotlib, or wandb.plot"),
    "sweep": ("expman starts no trials", "use Optuna or Ray Tune, or call the function in a loop"),
    "upsert_artifact": (_SERVER, "log_artifact()"),
    "finish_artifact": (_SERVER, "log_artifact()"),
    "use_model": ("there is no registry", "use_artifact(name).file()"),
    "xgboost": (_INTEGRATION, "expman.integrations.xgboost.XGBoostCallback"),
}
"""Name -> why it is not there, and the alternative."""


class _Missing(type):
    """A class that cannot be called; `isinstance` with it is False."""

    _where: str
    _why: tuple[str, str]

    def __call__(cls, *_: Any, **__: Any) -> Any:
        why, instead = cls._why
        raise NotImplementedError(f"wandb.{cls._where} is not there: {why}. Instead: {instead}")

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _made(f"{cls._where}.{name}", cls._why)


def _made(where: str, why: tuple[str, str]) -> _Missing:
    return _Missing(where.rpartition(".")[2], (), {"_where": where, "_why": why})


def missing(name: str, owner: str = "") -> Any:
    """Stands for a name that is not there: it can be imported, and a call of it raises."""
    return _made(f"{owner}{name}", MISSING[name])
