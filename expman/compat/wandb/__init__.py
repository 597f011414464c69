"""wandb's calls, recorded as a run of expman.

    import expman.compat.wandb as wandb

    wandb.init(project="mnist", config={"lr": 0.1})
    wandb.log({"loss": 0.5})

What is not here raises NotImplementedError at the call, with the reason and what to use instead.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any

from expman import notices
from expman.compat.wandb import data_types, errors, plot, starting, util
from expman.compat.wandb.artifacts import WandbArtifact as Artifact
from expman.compat.wandb.data_types import Audio, Classes, Html, Image, Plotly, Video
from expman.compat.wandb.data_types import NumberHistogram as Histogram
from expman.compat.wandb.errors import CommError, Error, UsageError
from expman.compat.wandb.missing import MISSING, missing
from expman.compat.wandb.run_config import RunConfig as Config
from expman.compat.wandb.starting import RunSettings as Settings
from expman.compat.wandb.table import Table
from expman.compat.wandb.wandb_run import WandbRun as Run

__all__ = [
    "AlertLevel",
    "Artifact",
    "Audio",
    "Classes",
    "CommError",
    "Config",
    "Error",
    "Histogram",
    "Html",
    "Image",
    "Plotly",
    "Run",
    "Settings",
    "Table",
    "UsageError",
    "Video",
    "__version__",
    "alert",
    "config",
    "data_types",
    "define_metric",
    "ensure_configured",
    "errors",
    "finish",
    "init",
    "join",
    "log",
    "log_artifact",
    "log_model",
    "login",
    "mark_preempting",
    "pin_config_keys",
    "plot",
    "require",
    "run",
    "save",
    "setup",
    "summary",
    "teardown",
    "termerror",
    "termlog",
    "termwarn",
    "unwatch",
    "use_artifact",
    "util",
    "watch",
]

__version__ = "0.31.0"
"""The version of wandb whose calls these are."""


class AlertLevel(enum.Enum):
    """How urgent an alert is."""

    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


def init(
    entity: str | None = None,
    project: str | None = None,
    dir: Any = None,
    id: str | None = None,
    name: str | None = None,
    notes: str | None = None,
    tags: Sequence[str] | None = None,
    config: Any = None,
    config_exclude_keys: Sequence[str] | None = None,
    config_include_keys: Sequence[str] | None = None,
    allow_val_change: bool | None = None,
    group: str | None = None,
    job_type: str | None = None,
    mode: str | None = None,
    force: bool | None = None,
    reinit: bool | str | None = None,
    resume: bool | str | None = None,
    resume_from: str | None = None,
    fork_from: str | None = None,
    save_code: bool | None = None,
    tensorboard: bool | None = None,
    sync_tensorboard: bool | None = None,
    monitor_gym: bool | None = None,
    settings: Any = None,
    anonymous: Any = None,
) -> Run:
    """Begins a run, which is `wandb.run` until it ends; or returns the one that is there.

    Args:
        entity: without meaning.
        project: the experiment; "uncategorized" if left out.
        dir: the base directory.
        id: name of the run's directory, where there is no `name`, or where `resume` is asked for.
        name: name of the run's directory; a time stamp if left out.
        notes: the description.
        tags: tags.
        config: parameters: a mapping, an object with fields, or the path of a YAML file.
        config_exclude_keys: parameters that are not recorded.
        config_include_keys: the only parameters that are recorded.
        allow_val_change: not used.
        group: what the runs of one job have in common.
        job_type: recorded as a scalar.
        mode: "disabled": nothing is recorded; "online" and "offline" mean the same.
        force: without meaning.
        reinit: what happens to a run that is there: "return_previous" (the default) goes on with
            it, True or "finish_previous" ends it, "create_new" leaves it as it is.
        resume: "allow", "auto", True: a run of this id goes on, if there is one; "must": there must
            be one; "never", None: another run begins.
        resume_from: `ID?_step=NUMBER`: that run goes on, and rows after the step are superseded.
        fork_from: not there.
        save_code: not used: `provenance.yaml` has the commit.
        tensorboard: as sync_tensorboard.
        sync_tensorboard: what torch's or tensorboardX's SummaryWriter gets is recorded, too.
        monitor_gym: without meaning.
        settings: a Settings, or a mapping.
        anonymous: without meaning.

    Raises:
        ExpmanError: the run cannot be begun.
        UsageError: an argument has no such value.
        NotImplementedError: what is asked for is not there.
    """
    return starting.begin(dict(locals()))


def log(
    data: Mapping[str, Any] | None = None, step: int | None = None, commit: bool | None = None
) -> None:
    """Logs values to the current run. See Run.log."""
    starting.active("log()").log(data, step, commit)


def define_metric(name: str, *args: Any, **kwargs: Any) -> Any:
    """Says what a metric is drawn over, and what its summary is. See Run.define_metric."""
    return starting.active("define_metric()").define_metric(name, *args, **kwargs)


def watch(models: Any, *args: Any, **kwargs: Any) -> None:
    """Logs histograms of a torch model. See Run.watch."""
    starting.active("watch()").watch(models, *args, **kwargs)


def unwatch(models: Any = None) -> None:
    """Ends what `watch` began."""
    starting.active("unwatch()").unwatch(models)


def save(*args: Any, **kwargs: Any) -> list[str]:
    """Keeps files. See Run.save."""
    return starting.active("save()").save(*args, **kwargs)


def alert(*args: Any, **kwargs: Any) -> None:
    """Adds a line to run.log. See Run.alert."""
    starting.active("alert()").alert(*args, **kwargs)


def log_artifact(artifact_or_path: Any, *args: Any, **kwargs: Any) -> Artifact:
    """Keeps an artifact. See Run.log_artifact."""
    return starting.active("log_artifact()").log_artifact(artifact_or_path, *args, **kwargs)


def log_model(path: Any, *args: Any, **kwargs: Any) -> None:
    """Keeps a model. See Run.log_model."""
    starting.active("log_model()").log_model(path, *args, **kwargs)


def use_artifact(artifact_or_name: Any, *args: Any, **kwargs: Any) -> Any:
    """Finds an artifact. See Run.use_artifact."""
    return starting.active("use_artifact()").use_artifact(artifact_or_name, *args, **kwargs)


def mark_preempting() -> None:
    """Adds a line to run.log."""
    starting.active("mark_preempting()").mark_preempting()


def finish(exit_code: int | None = None, quiet: bool | None = None) -> None:
    """Ends the current run, if there is one. See Run.finish."""
    found = starting.current()
    if found is not None:
        found.finish(exit_code)


join = finish


def login(*_: Any, **__: Any) -> bool:
    """Does nothing: there is no account."""
    return True


def setup(*_: Any, **__: Any) -> None:
    """Does nothing."""


def teardown(*_: Any, **__: Any) -> None:
    """Ends the current run."""
    finish()


def require(*_: Any, **__: Any) -> None:
    """Does nothing."""


def pin_config_keys(keys: Sequence[str]) -> None:
    """Does nothing."""


def ensure_configured() -> None:
    """Does nothing."""


def termlog(string: str = "", newline: bool = True, repeat: bool = True, **_: Any) -> None:
    """Warns by the logger `expman`."""
    notices.warn(string)


termwarn = termerror = termlog


def __getattr__(name: str) -> Any:
    if name == "run":
        return starting.current()
    if name in ("config", "summary"):
        return getattr(starting.active(name), name)
    if name in MISSING:
        return missing(name)
    from expman.suggestions import did_you_mean

    hint = "" if name.startswith("_") else did_you_mean([name], __all__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
