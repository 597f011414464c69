"""`expman sweep`: many trials of one program with parameters from a file."""

from __future__ import annotations

import contextlib
import os
import signal
import types
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from expman.cli.missing import needs_extra
from expman.cli.output import print_line, print_note
from expman.cli.runs import base_dir_option
from expman.errors import ExpmanError
from expman.reading.formats import format_number
from expman.reading.text import format_names
from expman.shown import count_of
from expman.suggestions import did_you_mean

if TYPE_CHECKING:
    from expman.sweeping.choosing import Chooser
    from expman.sweeping.trials import Sweep, Trial

__all__ = ["command"]


@click.command(
    "sweep",
    short_help="Run a program with many parameters.",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("sweep_file", metavar="SWEEP.YAML", type=click.Path(dir_okay=False))
@click.argument("program", nargs=-1, required=True, metavar="-- COMMAND…")
@click.option("--at-once", "-j", type=click.IntRange(1), help="Trials at the same time.  [1]")
@click.option("--retry-failed", is_flag=True, help="Run trials again that failed.")
@click.option("--anew", is_flag=True, help="Forget the trials of an earlier call.")
@click.option("--dry-run", "-n", is_flag=True, help="Only list the trials.")
@click.option("--slurm", is_flag=True, help="Print a SLURM array script instead.")
@click.option(
    "--sbatch", multiple=True, metavar="OPTION", help="With --slurm: an option; repeatable."
)
@click.option("--trial", type=click.IntRange(0), help="Run this trial alone, as a SLURM task does.")
@click.option("--on", "where", type=click.Choice(["ray"]), help="Give the trials to Ray Tune.")
@click.option(
    "--each", multiple=True, metavar="NAME=NUMBER", help="With --on ray: what a trial needs, cpu=4."
)
@base_dir_option
def command(
    sweep_file: str,
    program: tuple[str, ...],
    at_once: int | None,
    retry_failed: bool,
    anew: bool,
    dry_run: bool,
    slurm: bool,
    sbatch: tuple[str, ...],
    trial: int | None,
    where: str | None,
    each: tuple[str, ...],
    base_dir: str,
) -> None:
    """Runs COMMAND once for each trial of SWEEP.YAML, with other parameters each time.

    A trial reads them with `expman.sweep_params()`, or from EXPMAN_PARAM_NAME; `{lr}` in COMMAND is
    replaced by the parameter lr. Its run has the sweep's name as its group: expman ls --group NAME
    --sort loss:min. A sweep that was ended, or killed, goes on where it was.
    """
    from expman.sweeping.config import read_config
    from expman.sweeping.running import Runner, command_of
    from expman.sweeping.search import count_trials, params_of
    from expman.sweeping.slurm import slurm_script
    from expman.sweeping.trials import Sweep

    config = read_config(sweep_file)
    count = count_trials(config)
    if slurm:
        Sweep(base_dir, config, anew=anew)  # SLURM does not make the directory of its output
        print_line(
            slurm_script(
                config,
                count,
                sweep_file=sweep_file,
                base_dir=base_dir,
                command=program,
                at_once=at_once,
                options=sbatch,
            ).rstrip("\n")
        )
        return
    if dry_run:
        for number in range(count):
            if config.method not in ("grid", "random"):
                print_note(
                    f"{count_of(count, 'trial')}, whose parameters Optuna chooses ({config.method})"
                )
                return
            params = params_of(config, number)
            print_line(f"{number:4}  {_shown(params)}  {' '.join(command_of(program, params))}")
        return
    sweep = Sweep(os.path.abspath(base_dir) if where else base_dir, config, anew=anew)

    def report(ended: Trial, active: int) -> None:
        result = "" if ended.result is None else f"  {config.metric} {format_number(ended.result)}"
        print_line(f"trial {ended.number}  {ended.status}{result}  {_shown(ended.params)}")
        if ended.status == "FAILED" and trial is None:
            print_note(f"  it ended with {ended.exit_code}; see {sweep.log_path(ended.number)}")

    signal.signal(signal.SIGTERM, _interrupt)
    if where is not None:
        ended = _on_ray(sweep, program, at_once, each, retry_failed=retry_failed, report=report)
        _print_end(sweep)
    elif trial is not None:
        known = [one for one in sweep.read().values() if one.number == trial]
        chooser = _chooser(sweep, known, retry_failed=True, only=trial)
        runner = Runner(sweep, program, chooser, on_end=report, prints=True)
        runner.run()
        ended = runner.ended
    else:
        with sweep.running_here():
            known = list(sweep.read().values())
            chooser = _chooser(sweep, known, retry_failed=retry_failed, only=None)
            runner = Runner(sweep, program, chooser, at_once=at_once or 1, on_end=report)
            runner.adopt(known)
            runner.run()
        ended = runner.ended
        _print_end(sweep)
    if any(one.status == "FAILED" for one in ended):
        raise click.exceptions.Exit(1)


def _on_ray(
    sweep: Sweep,
    program: tuple[str, ...],
    at_once: int | None,
    each: tuple[str, ...],
    *,
    retry_failed: bool,
    report: Callable[[Trial, int], None],
) -> list[Trial]:
    """Runs the trials with Ray Tune; returns those that have ended."""
    resources = {}
    for one in each:
        name, _, number = one.partition("=")
        try:
            resources[name] = float(number)
        except ValueError:
            raise click.BadParameter(f"{one!r} must be NAME=NUMBER, such as cpu=4") from None
    with needs_extra("ray", "ray"):
        from expman.sweeping.on_ray import begin_ray, run_on_ray, still_lives
    with sweep.running_here():
        begin_ray()
        known = list(sweep.read().values())
        there = known
        if not sweep.config.uses_optuna:  # what is gone from other hosts, too, is run again
            there = [one for one in known if one.has_ended or still_lives(sweep, one)]
        chooser = _chooser(sweep, there, retry_failed=retry_failed, only=None)
        return run_on_ray(
            *(sweep, program, chooser, known),
            at_once=at_once,
            resources=resources or None,
            on_end=report,
        )


def _chooser(sweep: Sweep, known: list[Trial], *, retry_failed: bool, only: int | None) -> Chooser:
    from expman.sweeping.choosing import PlainChooser

    if not sweep.config.uses_optuna:
        return PlainChooser(sweep, known, retry_failed=retry_failed, only=only)
    with needs_extra("sweep", "optuna"):
        from expman.sweeping.optuna_chooser import OptunaChooser
    return OptunaChooser(sweep, known, most=None if only is None else 1)


def _interrupt(number: int, frame: types.FrameType | None) -> None:
    from expman.sweeping.running import TerminatedError

    raise TerminatedError


def _shown(params: dict[str, int | float | str | bool]) -> str:
    return " ".join(f"{name}={format_number(value)}" for name, value in params.items())


def _print_end(sweep: Sweep) -> None:
    config = sweep.config
    trials = [one for one in sweep.read().values() if one.has_ended and one.status != "LOST"]
    counts = {
        status: sum(one.status == status for one in trials)
        for status in ("FINISHED", "PRUNED", "FAILED")
    }
    said = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    print_note(f"sweep {config.name}: {said or 'no trials'}")
    known = [one for one in trials if one.result is not None and one.result == one.result]
    if config.metric is None or not trials:
        return
    if known:
        sign = 1 if config.goal == "minimize" else -1
        best = min(known, key=lambda one: sign * (one.result or 0.0))
        print_note(
            f"best: trial {best.number}, {config.metric} {format_number(best.result)}, "
            f"{_shown(best.params)}"
        )
        print_note(f"expman ls --group {config.name} --sort {config.metric}:{config.value}")
    elif counts["FINISHED"]:
        print_note(_no_result(sweep, config.metric))


def _no_result(sweep: Sweep, metric: str) -> str:
    """Why there is no best trial, with the metrics that the newest run has."""
    from expman.reading.find import runs

    metrics: list[str] = []
    with contextlib.suppress(ExpmanError):
        found = runs(sweep.base_dir, tags=(f"sweep:{sweep.config.name}",))
        metrics = list(found[0].metrics) if found else []
    known = f"; the runs have {format_names(metrics)}" if metrics else "; the runs have no metrics"
    hint = did_you_mean([metric], metrics) or known
    return f"no best trial: no run has a value of the metric {metric!r}{hint}"
