"""`init`: what its arguments and wandb's environment variables mean for a run of expman."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from expman import current_run, settings
from expman.compat.wandb.described import RunFacts
from expman.compat.wandb.errors import UsageError
from expman.compat.wandb.event_mirror import mirror_event_writers
from expman.compat.wandb.resuming import go_on, resume_settings
from expman.compat.wandb.run_config import items_of
from expman.compat.wandb.util import generate_id
from expman.compat.wandb.wandb_run import WandbRun
from expman.integrations.own_run import OwnRun
from expman.models import LogLevel
from expman.shown import shown

__all__ = ["RunSettings", "active", "begin", "current"]

MODES = {"online": "online", "offline": "offline", "shared": "online", "dryrun": "offline"}
MODES |= {"disabled": "disabled", "run": "online"}
_current: WandbRun | None = None


class RunSettings:
    """Settings by name, as wandb's Settings takes them; its name there is Settings.

    `console="off"` and `disable_stats=True` mean what they mean there, and so do arguments of
    `init`. The others have no meaning here; run.log names them.
    """

    def __init__(self, **settings: Any) -> None:
        self.__dict__.update(settings)


def current() -> WandbRun | None:
    """The run that `init` began last and that has not ended."""
    return None if _current is None or _current.has_ended else _current


def active(call: str) -> WandbRun:
    """The same.

    Raises:
        UsageError: there is none.
    """
    run = current()
    if run is None:
        raise UsageError(f"there is no run: call wandb.init() before wandb.{call}")
    return run


def begin(given: Mapping[str, Any]) -> WandbRun:
    """Begins a run, or returns the current one, as `reinit` wants it. See `wandb.init`."""
    global _current
    before = current()
    reinit = given.get("reinit")
    if before is not None:
        if reinit in (None, "default", "return_previous", False):
            before.config.update(given.get("config") or {}, allow_val_change=True)
            return before
        if reinit != "create_new":
            before.finish()
    arguments, left_out = _with_settings(given)
    _current = _begin(arguments, left_out)
    return _current


def _with_settings(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The arguments, completed by `settings` and by the environment; and what has no meaning."""
    extra = given.get("settings") or {}
    more = dict(extra if isinstance(extra, Mapping) else vars(extra))
    found = {name: value for name, value in given.items() if value is not None}
    left_out = []
    for name, value in more.items():
        plain = name.removeprefix("x_").removeprefix("_").removeprefix("run_")
        plain = {"root_dir": "dir", "disable_stats": "no_stats"}.get(plain, plain)
        if plain in given or plain in ("console", "no_stats", "silent"):
            found.setdefault(plain, value)
        else:
            left_out.append(f"settings.{name}")
    for name, variable in _VARIABLES.items():
        text = os.environ.get(variable)
        if text:
            found.setdefault(name, text)
    left_out += [name for name in _WITHOUT_MEANING if found.get(name)]
    return found, left_out


_VARIABLES = {
    "console": "WANDB_CONSOLE",
    "dir": "WANDB_DIR",
    "entity": "WANDB_ENTITY",
    "group": "WANDB_RUN_GROUP",
    "id": "WANDB_RUN_ID",
    "job_type": "WANDB_JOB_TYPE",
    "mode": "WANDB_MODE",
    "name": "WANDB_NAME",
    "notes": "WANDB_NOTES",
    "project": "WANDB_PROJECT",
    "resume": "WANDB_RESUME",
    "silent": "WANDB_SILENT",
    "tags": "WANDB_TAGS",
}
_WITHOUT_MEANING = ("entity", "monitor_gym", "anonymous", "force")


def _begin(given: dict[str, Any], left_out: list[str]) -> WandbRun:
    if given.get("fork_from"):
        raise NotImplementedError(
            "wandb.init(fork_from=) is not there: a run has one history. Instead: begin a run of "
            "the same group"
        )
    mode = MODES.get(str(given.get("mode", "online")).lower())
    if mode is None:
        raise UsageError(f"mode {shown(given['mode'])} must be online, offline or disabled")
    facts = _facts_of(given, mode)
    config = _config_of(given)
    resume = {} if mode == "disabled" else resume_settings(given, facts)
    own = OwnRun(facts.project, None, {**_settings_of(given, facts), **resume}, joins=False)
    earlier: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    if mode != "disabled":
        is_there = bool(resume) and os.path.isdir(_place(given, facts))
        engine = own.begin(facts.name or None)
        facts.state.run_dir = engine.run_dir
        facts.name = facts.name or os.path.basename(engine.run_dir)
        if is_there:
            earlier = go_on(facts)
    else:
        facts.id = facts.id or generate_id()
        facts.name = facts.name or f"dummy-{facts.id}"
    facts.id = facts.id or os.path.basename(str(facts.state.run_dir))
    run = WandbRun(own, facts)
    if own.own is not None:
        current_run.set_current(own.own)
    _describe(run, given, left_out)
    run.go_on(*earlier)
    run.config.update(config, allow_val_change=True)
    if mode != "disabled" and (given.get("sync_tensorboard") or given.get("tensorboard")):
        run._at_end.append(mirror_event_writers(own))
    return run


def _place(given: Mapping[str, Any], facts: RunFacts) -> str:
    base = given.get("dir") or os.environ.get("EXPMAN_BASE_DIR") or settings.BASE_DIR
    return os.path.join(base, facts.project, facts.id)


def _facts_of(given: Mapping[str, Any], mode: str) -> RunFacts:
    tags = given.get("tags") or ()
    if isinstance(tags, str):
        tags = [tag.strip() for tag in tags.split(",") if tag.strip()]
    project = str(given.get("project") or "uncategorized")
    name, run_id = given.get("name"), given.get("id")
    return RunFacts(
        id=str(run_id or ""),
        name=str(name or run_id or ""),
        project="".join(char if char.isprintable() and char != "/" else "_" for char in project),
        mode=mode,
        entity=str(given.get("entity") or ""),
        group=str(given.get("group") or ""),
        job_type=str(given.get("job_type") or ""),
        notes=given.get("notes"),
        tags=tuple(map(str, tags)),
    )


def _settings_of(given: Mapping[str, Any], facts: RunFacts) -> dict[str, Any]:
    """Arguments of Experiment."""
    chosen: dict[str, Any] = {"tags": facts.tags} if facts.tags else {}
    if given.get("dir"):
        chosen["base_dir"] = given["dir"]
    if facts.group:
        chosen["group"] = facts.group
    if facts.notes:
        chosen["description"] = facts.notes
    if given.get("console") == "off":
        chosen["redirect_console"] = False
    if given.get("no_stats"):
        chosen["system_metrics_interval_secs"] = 0
    if str(given.get("silent", "")).lower() in ("1", "true"):
        chosen["quiet"] = True
    return chosen


def _config_of(given: Mapping[str, Any]) -> dict[str, Any]:
    config = given.get("config") or {}
    if isinstance(config, str | os.PathLike):
        from expman.storage.yamlfile import read_yaml

        read: Any = read_yaml(os.fspath(config))
        config = {
            key: value["value"] if isinstance(value, Mapping) and "value" in value else value
            for key, value in read.items()
            if key != "wandb_version"
        }
    found = items_of(config)
    only, but = _names(given, "config_include_keys"), _names(given, "config_exclude_keys")
    return {
        key: value for key, value in found.items() if (not only or key in only) and key not in but
    }


def _names(given: Mapping[str, Any], name: str) -> Sequence[str]:
    return given.get(name) or ()


def _describe(run: WandbRun, given: Mapping[str, Any], left_out: list[str]) -> None:
    """Records what a run has no setting for, and says what has no meaning here."""
    facts, own = run._facts, run._own
    if facts.job_type:
        own.log_scalar("job_type", facts.job_type)
    if facts.id != os.path.basename(str(facts.state.run_dir)):
        own.log_scalar("id", facts.id)
    if left_out:
        own.say(LogLevel.INFO, f"wandb.init: without meaning here: {', '.join(left_out)}")
