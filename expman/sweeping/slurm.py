"""A SLURM array script for a sweep: one task for each trial."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence

from expman.sweeping.config import SweepConfig

__all__ = ["slurm_script"]


def slurm_script(
    config: SweepConfig,
    count: int,
    *,
    sweep_file: str,
    base_dir: str,
    command: Sequence[str],
    at_once: int | None = None,
    options: Sequence[str] = (),
) -> str:
    """Returns the script; `sbatch` takes it.

    A task finds its trial by SLURM_ARRAY_TASK_ID. Its rank is what SLURM says of a step, so a trial
    of several processes starts them with `srun`, as any job does. Submitted once more, tasks whose
    trials have finished end at once.

    Args:
        config: what the sweep is.
        count: number of trials.
        sweep_file: its file.
        base_dir: directory that holds all experiments.
        command: what a trial runs.
        at_once: most tasks at the same time; None for no limit.
        options: further options of sbatch, such as `--gres=gpu:1`.
    """
    limit = "" if at_once is None else f"%{at_once}"
    base = os.path.abspath(base_dir)
    log = os.path.join(base, ".sweeps", config.name, "slurm-%a.out")
    lines = [
        "#!/bin/bash",
        f"#SBATCH --job-name={config.name}",
        f"#SBATCH --array=0-{count - 1}{limit}",
        f"#SBATCH --output={log}",
        *(f"#SBATCH {option}" for option in options),
        "",
        f"cd {shlex.quote(os.getcwd())}",
        f"exec expman sweep {shlex.quote(os.path.abspath(sweep_file))} "
        f"--base-dir {shlex.quote(base)} "
        f'--trial "$SLURM_ARRAY_TASK_ID" -- {shlex.join(command)}',
        "",
    ]
    return "\n".join(lines)
