"""Finishes runs whose trainer and writer are both gone."""

from __future__ import annotations

import os
from collections.abc import Iterator

from expman.transport.recovery_lock import recovery_lock
from expman.writer.outcome import Outcome, guarded
from expman.writer.recover_files import finish_from_files
from expman.writer.recover_memory import discard_runs, finish_from_memory, remove_empty, runs_below
from expman.writer.stale import served_runs, stale_addresses, stale_runs

__all__ = ["recover"]


def recover(
    base_dir: str, *, dry_run: bool = False, any_host: bool = False, discard: bool = False
) -> Iterator[Outcome]:
    """Finishes the dead runs below a base directory.

    It first drains shared memory into the files. Runs without shared memory, because the machine
    was restarted, are finished from their files. It does no harm to run it twice, or two at once:
    a writer locks the address that it serves, and a lock per base directory guards the rest.

    Args:
        base_dir: directory that holds the experiments.
        dry_run: only report what would be done.
        any_host: also finish runs of other hosts and users; the caller knows that they have ended.
        discard: remove the shared memory of these runs, with all rows that are in no file.

    Yields:
        A line for each run that was, would be, or could not be recovered. A failure of one run
        costs no other.
    """
    wanted = os.path.realpath(base_dir)
    for stale in stale_addresses():
        if not stale.runs:
            if not dry_run:
                remove_empty(stale)
        elif wanted not in stale.base_dirs:
            continue
        elif dry_run:
            what = "discard" if discard else "recover"
            for run_dir in runs_below(wanted, stale.runs):
                yield Outcome(f"would {what} {run_dir} from shared memory")
        elif discard:
            yield from discard_runs(stale, wanted)
        elif not os.path.isdir(wanted):
            yield from (_homeless(run, wanted) for run in runs_below(wanted, stale.runs))
        else:
            yield from guarded(finish_from_memory, stale, ", ".join(stale.runs))
    if dry_run:
        for run in stale_runs(wanted, served_runs(), any_host=any_host, dry_run=True):
            what = "would recover" if run.dead else "would leave alone"
            yield Outcome(f"{what} {run.run_dir}: {run.why}")
        return
    with recovery_lock(wanted) as is_held:
        if not is_held:
            yield Outcome(f"another recovery of {base_dir} is at work")
            return
        for run in stale_runs(wanted, served_runs(), any_host=any_host):
            yield from guarded(finish_from_files, run, run.run_dir)


def _homeless(run_dir: str, base_dir: str) -> Outcome:
    return Outcome(
        f"cannot recover {run_dir}: the directory {base_dir} does not exist; mount it, or make "
        f"it (mkdir -p), and recover again; or give its rows up: expman-writer recover --discard",
        ok=False,
    )
