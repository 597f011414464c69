"""Names of wandb that are not here: a call says why, and what to use instead."""

from __future__ import annotations

from typing import Any

__all__ = ["MISSING", "missing"]

_SERVER = "there is no server"
_INTEGRATION = "expman has an integration of its own"
_INTERNAL = ("it is a module of wandb's own", "the names of the module itself")
_PAGE = ("it belongs to wandb's page", "`expman ui` and `expman.runs()` show runs")
_REGISTRY = ("there is no registry", "log_artifact() with aliases, and use_artifact()")
_TRIALS = ("expman starts no trials", "use Optuna or Ray Tune, or call the function in a loop")
_RUNS = (_SERVER, "expman.runs() and expman.Run read runs")
MISSING: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("Api", "InternalApi", "PublicApi", "api", "apis"), _RUNS),
    **dict.fromkeys(("agent", "agents", "controller", "sweep"), _TRIALS),
    **dict.fromkeys(("EvalTable", "Graph", "JoinedTable", "box3d", "visualize"), _PAGE),
    **dict.fromkeys(("link_artifact", "link_model", "use_model"), _REGISTRY),
    **dict.fromkeys(
        ("analytics", "env", "helper", "jupyter", "patched", "proto", "sdk", "trigger", "wandb"),
        _INTERNAL,
    ),
    **dict.fromkeys(
        ("wandb_agent", "wandb_lib", "wandb_run", "wandb_sdk", "wandb_torch", "termsetup"),
        _INTERNAL,
    ),
    "ArtifactTTL": ("artifacts are kept as long as their run", "`expman clean` and `expman rm`"),
    "Molecule": ("a run has no kind for molecules", "save() keeps the file"),
    "Object3D": ("a run has no kind for point clouds", "save() keeps the file"),
    "attach": (_SERVER, "expman.attach(address) joins a run of this machine"),
    "catboost": ("expman has no integration of it", "log() in a callback"),
    "fastai": ("expman has no integration of it", "docs/how-to/write-an-integration.md"),
    "finish_artifact": (_SERVER, "log_artifact()"),
    "gym": ("videos of gym are not taken over", "log({'video': Video(path)})"),
    "integration": (_INTEGRATION, "docs/how-to/frameworks.md"),
    "keras": (_INTEGRATION, "expman.integrations.keras.KerasCallback"),
    "launch": ("expman starts no jobs", "use the scheduler"),
    "lightgbm": (_INTEGRATION, "expman.integrations.lightgbm.LightGBMCallback"),
    "plot_table": ("charts of Vega are not drawn", "log the Table"),
    "plots": ("the old charts are not drawn", "wandb.plot, or log a figure"),
    "profiler": ("traces are not drawn", "write them into expman.tensorboard_dir()"),
    "restore": (_SERVER, "files are in artifacts/ of the run: expman.Run(path).artifacts"),
    "sacred": ("expman has no integration of it", "log() in an observer"),
    "sagemaker_auth": ("there is no account", "leave the call out"),
    "sklearn": ("its charts are not drawn", "log figures of matplotlib, or wandb.plot"),
    "status": (_SERVER, "expman.Run(run.run_dir).status"),
    "tensorboard": ("event files are not watched", "wandb.init(sync_tensorboard=True)"),
    "tensorflow": ("event files are not watched", "expman.SummaryWriter"),
    "upsert_artifact": (_SERVER, "log_artifact()"),
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


def missing(name: str, owner: str = "", why: tuple[str, str] | None = None) -> Any:
    """Stands for a name that is not there: it can be imported, and a call of it raises."""
    return _made(f"{owner}{name}", why or MISSING[name])
