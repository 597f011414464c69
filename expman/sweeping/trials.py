"""What is known of a sweep's trials: a small file for each, replaced whole.

`<base_dir>/.sweeps/<name>/trials/000012.json`. Whoever runs the trial writes it: the sweep on this
machine, or a task of a SLURM array. So a sweep that was killed goes on where it was.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

import msgspec

from expman.errors import ConfigError, StorageError
from expman.process_start import began_ticks
from expman.storage.paths import replace_file, storage_error
from expman.sweeping.config import SweepConfig
from expman.sweeping.search import Param

__all__ = ["Sweep", "Trial"]

SWEEPS = ".sweeps"


class Trial(msgspec.Struct, kw_only=True):
    """What is known of a trial.

    Attributes:
        number: from 0.
        params: its parameters.
        status: RUNNING, FINISHED, FAILED, or PRUNED.
        pid: its process.
        began_ticks: when that began, by which it is known from another of the same id.
        host: the machine on which it runs.
        started_at: seconds since the epoch.
        ended_at: seconds since the epoch; None while it runs.
        exit_code: of its process; None while it runs, or if that is not known.
        run: directory of its run; None if none was found.
        result: the number that counts; None if there is none.
    """

    number: int
    params: dict[str, Param]
    status: str = "RUNNING"
    pid: int = 0
    began_ticks: int | None = None
    host: str = ""
    started_at: float = 0.0
    ended_at: float | None = None
    exit_code: int | None = None
    run: str | None = None
    result: float | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it is over."""
        return self.status != "RUNNING"


class Sweep:
    """The directory of a sweep.

    Args:
        base_dir: directory that holds all experiments.
        config: what the sweep is.
        anew: forget the trials of an earlier sweep of this name.

    Raises:
        ConfigError: a sweep of this name was begun with other parameters.
        StorageError: the directory cannot be written.
    """

    def __init__(self, base_dir: str, config: SweepConfig, *, anew: bool = False) -> None:
        self.base_dir = base_dir
        self.config = config
        self.path = os.path.join(base_dir, SWEEPS, config.name)
        self._trials = os.path.join(self.path, "trials")
        try:
            os.makedirs(self._trials, exist_ok=True)
        except OSError as exc:
            raise storage_error(self._trials, exc) from exc
        self._begin(anew)

    def _begin(self, anew: bool) -> None:
        path = os.path.join(self.path, "sweep.json")
        known = None
        with contextlib.suppress(OSError, msgspec.MsgspecError), open(path, "rb") as file:
            known = msgspec.json.decode(file.read(), type=dict[str, str])
        if known is not None and known.get("digest") != self.config.digest and not anew:
            rule = (
                "a sweep of this name was begun with other parameters; give it another `name`, or "
                "begin again with --anew"
            )
            raise ConfigError("name", self.config.name, rule)
        if anew:
            self._forget()
        replace_file(path, msgspec.json.encode({"digest": self.config.digest}))

    def _forget(self) -> None:
        for name in [*os.listdir(self._trials), os.path.join(os.pardir, "optuna.journal")]:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self._trials, name))

    @contextlib.contextmanager
    def running_here(self) -> Iterator[None]:
        """Keeps others from running this sweep's trials on this machine meanwhile.

        Raises:
            ConfigError: another process does.
        """
        path = os.path.join(self.path, "lock")
        with open(path, "a+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                rule = "is being run by another process; wait for it, or end it"
                raise ConfigError("sweep", self.config.name, rule) from None
            yield

    def log_path(self, number: int) -> str:
        """Path of the file with what a trial prints."""
        return os.path.join(self._trials, f"{number:06d}.log")

    @contextlib.contextmanager
    def held(self, number: int) -> Iterator[int]:
        """Yields a descriptor for a trial's process: while that lives, the trial is known to."""
        fd = os.open(self._lock_path(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            with contextlib.suppress(OSError):  # a file system without locks: the pid remains
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield fd
        finally:
            os.close(fd)

    def lives(self, trial: Trial) -> bool:
        """Whether a trial's process is there; one of another machine is taken for living.

        The process has a descriptor whose lock the kernel drops with it, for it may have been
        started right before the sweep was killed, so that nobody noted its id.
        """
        if trial.has_ended:
            return False
        if trial.host != os.uname().nodename:
            return True
        if trial.pid > 0 and began_ticks(trial.pid) == trial.began_ticks is not None:
            return True
        try:
            with open(self._lock_path(trial.number), "rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def lives_here(self, trial: Trial) -> bool:
        """Whether a trial's process is there, and on this machine."""
        return trial.host == os.uname().nodename and self.lives(trial)

    def _lock_path(self, number: int) -> str:
        return os.path.join(self._trials, f"{number:06d}.lock")

    def write(self, trial: Trial) -> None:
        """Notes what is known of a trial.

        Raises:
            StorageError: it cannot be written.
        """
        path = os.path.join(self._trials, f"{trial.number:06d}.json")
        replace_file(path, msgspec.json.encode(trial))

    def read(self) -> dict[int, Trial]:
        """Reads what is known of all trials; what cannot be read counts as not begun."""
        found: dict[int, Trial] = {}
        for name in sorted(os.listdir(self._trials)):
            if name.endswith(".json") and not name.startswith("."):
                with contextlib.suppress(OSError, msgspec.MsgspecError, StorageError):
                    with open(os.path.join(self._trials, name), "rb") as file:
                        trial = msgspec.json.decode(file.read(), type=Trial)
                    found[trial.number] = trial
        return found
