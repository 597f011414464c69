"""Runs the trials of a sweep on this machine, several at once, and goes on where it was."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from expman.models import RunStatus
from expman.process_start import began_ticks
from expman.sweeping.choosing import Chooser
from expman.sweeping.search import Param
from expman.sweeping.trial_runs import TrialRun, tags_of
from expman.sweeping.trials import Sweep, Trial

__all__ = ["Runner", "TerminatedError", "command_of", "environment_of"]

_PR_SET_PDEATHSIG = 1
_POLL_S = 0.1
_LOOK_S = 1.0
"""Between two looks at the rows of a live trial, for early stopping."""
_SETTLE_S = 10.0
"""How long the run of a process that has ended is given to get its status."""
_GRACE_S = 10.0
"""How long a process has to end once it is asked to."""


def command_of(command: Sequence[str], params: dict[str, Param]) -> list[str]:
    """Returns the command of a trial: `{lr}` in it is the value of the parameter lr."""
    found = list(command)
    for name, value in params.items():
        found = [part.replace(f"{{{name}}}", str(value)) for part in found]
    return found


def environment_of(sweep: Sweep, number: int, params: dict[str, Param]) -> dict[str, str]:
    """Returns the variables that tell a trial's process what it is."""
    config = sweep.config
    given = os.environ.get("EXPMAN_TAGS")  # tags that the user gives all trials
    tags = (*([given] if given else []), *tags_of(config, number))
    found = {
        "EXPMAN_SWEEP": config.name,
        "EXPMAN_GROUP": config.name,
        "EXPMAN_TAGS": ",".join(tags),
        "EXPMAN_RUN_NAME": f"{config.name}-{number:04d}",
        "EXPMAN_BASE_DIR": os.path.abspath(sweep.base_dir),
        **{f"EXPMAN_PARAM_{name.upper()}": str(value) for name, value in params.items()},
    }
    if config.experiment is not None:
        found["EXPMAN_EXPERIMENT"] = config.experiment
    return found


def _dying_with(parent: int) -> Callable[[], None]:
    """What a new process does first, so that it is killed when its parent ends."""
    prctl = ctypes.CDLL(None).prctl  # nothing is loaded between fork and exec

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return before_exec


class TerminatedError(KeyboardInterrupt):
    """SIGTERM came, and not Ctrl-C."""


@dataclass
class _Active:
    """A trial whose process lives; without `process` it is of a sweep that was killed."""

    sweep: Sweep
    trial: Trial
    rows: TrialRun
    process: subprocess.Popen[bytes] | None = None
    looked_at: float = field(default_factory=time.monotonic)
    stopped_at: float | None = None

    @property
    def has_ended(self) -> bool:
        if self.process is not None:
            return self.process.poll() is not None
        return not self.sweep.lives(self.trial)

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the process, if it is there and ours."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if not self.has_ended and self.trial.pid:
                os.kill(self.trial.pid, number)


class Runner:
    """Runs trials.

    Args:
        sweep: the sweep.
        command: what a trial runs.
        chooser: says which trial is next.
        at_once: how many at the same time.
        on_end: is called with each trial that has ended.
        prints: trials print where the sweep does, not into a file each.
        dies_with_us: a trial's process is killed when this one ends, however that is. Its thread
            that starts trials must live as long.
    """

    def __init__(
        self,
        sweep: Sweep,
        command: Sequence[str],
        chooser: Chooser,
        *,
        at_once: int = 1,
        on_end: Callable[[Trial, int], None] = lambda trial, active: None,
        prints: bool = False,
        dies_with_us: bool = False,
    ) -> None:
        self._sweep = sweep
        self._command = command
        self._chooser = chooser
        self._at_once = at_once
        self._on_end = on_end
        self._prints = prints
        self._before_exec = _dying_with(os.getpid()) if dies_with_us else None
        self._active: list[_Active] = []
        self.ended: list[Trial] = []

    def adopt(self, known: Sequence[Trial], lives: Callable[[Trial], bool] | None = None) -> None:
        """Takes over what a sweep that was killed has left: waits for those that live here.

        Args:
            known: trials.
            lives: whether a trial's process is there, also on another host; None if only those of
                this host are known to be gone.

        Raises:
            StorageError: the sweep's directory cannot be written.
        """
        here = os.uname().nodename
        for trial in known:
            if trial.has_ended or (lives is None and trial.host != here):
                continue
            active = _Active(self._sweep, trial, self._run_of(trial))
            if (lives or self._sweep.lives)(trial):
                if trial.host == here:
                    self._active.append(active)
            elif active.rows.status is RunStatus.FINISHED:
                self._end(active)
            elif self._chooser.lose(trial):
                trial.status = "LOST"
                self._sweep.write(trial)

    def run(self) -> None:
        """Runs all trials. If it is interrupted, their processes are ended first.

        Raises:
            StorageError: the sweep's directory cannot be written.
            OSError: the command cannot be started.
        """
        try:
            while self.advance():
                time.sleep(_POLL_S)
        except TerminatedError:
            self._stop_all(signal.SIGTERM, signal.SIGKILL)
            raise
        except BaseException:
            self._stop_all(signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
            raise

    @property
    def has_begun(self) -> bool:
        """Whether a trial runs or has ended."""
        return bool(self._active or self.ended)

    def advance(self) -> bool:
        """Starts trials and looks at those that run; False once all have ended.

        Raises:
            StorageError: the sweep's directory cannot be written.
            OSError: the command cannot be started.
        """
        self._start_more()
        for active in list(self._active):
            if active.has_ended:
                self._active.remove(active)
                self._end(active)
            else:
                self._look(active)
        return self._start_more() or bool(self._active)

    def stop(self) -> None:
        """Ends what runs, as Ctrl-C does; its trials are run again by the next call."""
        self._stop_all(signal.SIGINT, signal.SIGTERM, signal.SIGKILL)

    def _start_more(self) -> bool:
        while len(self._active) < self._at_once:
            chosen = self._chooser.next()
            if chosen is None:
                return False
            self._active.append(self._start(*chosen))
        return True

    def _start(self, number: int, params: dict[str, Param]) -> _Active:
        trial = Trial(
            number=number, params=params, host=os.uname().nodename, started_at=time.time()
        )
        self._sweep.write(trial)
        environment = {**os.environ, **environment_of(self._sweep, number, params)}
        with contextlib.ExitStack() as stack:
            output = None
            if not self._prints:
                output = stack.enter_context(open(self._sweep.log_path(number), "ab"))
            fd = stack.enter_context(self._sweep.held(number))
            process = subprocess.Popen(
                command_of(self._command, params),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=None if output is None else subprocess.STDOUT,
                pass_fds=(fd,),
                process_group=None if self._prints else 0,
                preexec_fn=self._before_exec,
            )
        trial.pid, trial.began_ticks = process.pid, began_ticks(process.pid)
        self._sweep.write(trial)
        return _Active(self._sweep, trial, self._run_of(trial), process)

    def _run_of(self, trial: Trial) -> TrialRun:
        base, config = self._sweep.base_dir, self._sweep.config
        return TrialRun(base, config, trial.number, trial.started_at)

    def _look(self, active: _Active) -> None:
        """Ends a trial early that is worse than others, by the rows that it has logged."""
        now = time.monotonic()
        if active.stopped_at is not None:
            if now > active.stopped_at + _GRACE_S:
                active.send(signal.SIGKILL)
            return
        if now < active.looked_at + _LOOK_S or self._sweep.config.pruner is None:
            return
        active.looked_at = now
        if self._chooser.report(active.trial.number, active.rows.new_values()):
            active.rows.prune()
            active.send(signal.SIGTERM)
            active.stopped_at = now

    def _end(self, active: _Active) -> None:
        trial = active.trial
        deadline = time.monotonic() + _SETTLE_S
        while active.rows.status is RunStatus.RUNNING and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        if active.process is not None:
            trial.exit_code = active.process.returncode
        is_well = (
            active.rows.status is RunStatus.FINISHED
            if trial.exit_code is None
            else trial.exit_code == 0
        )
        was_stopped = active.stopped_at is not None or active.rows.is_pruned
        is_pruned = was_stopped and trial.exit_code != 0
        trial.status = "PRUNED" if is_pruned else "FINISHED" if is_well else "FAILED"
        trial.ended_at = time.time()
        run = active.rows.run
        trial.run = None if run is None else run.path
        trial.result = active.rows.result
        self._sweep.write(trial)
        self._chooser.tell(trial)
        self.ended.append(trial)
        self._on_end(trial, len(self._active))

    def _stop_all(self, *signals: signal.Signals) -> None:
        """Ends what still runs; its trials are run again by the next call."""
        ours = [active for active in self._active if active.process is not None]
        for number in signals:
            for active in ours:
                active.send(number)
            deadline = time.monotonic() + _GRACE_S
            while any(not one.has_ended for one in ours) and time.monotonic() < deadline:
                time.sleep(_POLL_S)
