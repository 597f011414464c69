"""`resume` and `resume_from`: a run of that id goes on, in its next attempt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expman import notices
from expman.compat.wandb.described import RunFacts
from expman.compat.wandb.errors import UsageError
from expman.errors import ExpmanError
from expman.shown import shown

__all__ = ["go_on", "resume_settings"]

_CHOICES = (None, False, "never", True, "allow", "auto", "must")


def resume_settings(given: Mapping[str, Any], facts: RunFacts) -> dict[str, Any]:
    """Arguments of Experiment, for a run that may go on; the directory is then called as the id.

    Raises:
        UsageError: an argument has no such value.
    """
    wanted = given.get("resume")
    if wanted not in _CHOICES:
        raise UsageError(f"resume {shown(wanted)} must be allow, must, never or auto")
    if given.get("resume_from"):
        facts.id, step = _rewound(str(given["resume_from"]))
        return {"run_name": facts.id, "resume": "must", "from_step": step + 1}
    if wanted in (None, False, "never") or not facts.id:
        return {}
    return {"run_name": facts.id, "resume": "must" if wanted == "must" else "allow"}


def _rewound(text: str) -> tuple[str, int]:
    run_id, _, step = text.partition("?_step=")
    if not run_id or not step.isdigit():
        raise UsageError(f"resume_from {shown(text)} must be ID?_step=NUMBER")
    return run_id, int(step)


def go_on(facts: RunFacts) -> tuple[dict[str, Any], dict[str, Any]]:
    """What earlier attempts have recorded: parameters, and scalars with the last values.

    `facts` gets the step that comes next. Files that cannot be read cost no run: a warning says so.
    """
    from expman.reading.run import Run  # brings pyarrow: only a run that goes on needs it

    try:
        run = Run(str(facts.state.run_dir))
        steps = run.vectors(["step"])["step"]
        last = max((step for step in steps.to_pylist() if step is not None), default=-1)
        values = {name: one.last for name, one in run.metadata.best.items()}
        facts.state.starting_step, facts.state.resumed = last + 1, True
        return dict(run.config), {**values, **run.scalars}
    except (ExpmanError, OSError) as exc:
        notices.warn(f"expman: what run {facts.state.run_dir} has recorded cannot be read: {exc}")
        return {}, {}
