"""Identity of this process: its host, its rank in a job, its place among workers."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping

import msgspec

from expman.models import Host, Program, Rank, safe_text
from expman.process_start import began_ticks
from expman.transport import places
from expman.transport.hello import Hello

__all__ = ["find_group", "find_rank", "this_host", "this_program", "worker_hello"]

# (rank, local rank, number of ranks), by launcher: what the user says, torchrun, SLURM's srun,
# Open MPI, PMIx, MPICH and Intel MPI, MVAPICH2.
_LAUNCHERS = (
    ("EXPMAN_RANK", "LOCAL_RANK", "WORLD_SIZE"),
    ("RANK", "LOCAL_RANK", "WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMIX_RANK", "PMIX_LOCAL_RANK", "PMIX_SIZE"),
    ("PMI_RANK", "MPI_LOCALRANKID", "PMI_SIZE"),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_SIZE"),
)
_MOST_CHARS = 4096
_MOST_CHARS_OF_ALL = 32 * 1024
"""Of a program's arguments, and of its search path, that are recorded."""
_JOBS = (
    "TORCHELASTIC_RUN_ID",
    "SLURM_JOB_ID",
    "PBS_JOBID",
    "LSB_JOBID",
    "JOB_ID",
    "PMIX_NAMESPACE",
)


def this_host(place: str) -> Host:
    """Describes the host and the memory in `place`, as seen by this process."""
    return Host(
        hostname=os.uname().nodename,
        machine_id=_first_line("/etc/machine-id"),
        boot_id=_first_line("/proc/sys/kernel/random/boot_id"),
        memory_id=places.place_id(place),
        uid=os.geteuid(),
        pid=os.getpid(),
    )


def this_program() -> Program:
    """Describes the program of this process."""
    try:
        cwd = os.getcwd()
    except OSError:  # it was removed
        cwd = ""
    path = [text for text in sys.path if isinstance(text, str) and os.path.isabs(text)]
    return Program(
        cwd=safe_text(cwd),
        argv=_fitting(getattr(sys, "argv", ())),
        python=sys.version.split()[0],
        path=_fitting(text for text in path if len(text) < _MOST_CHARS),
        began_ticks=began_ticks("self") or 0,
    )


def _fitting(texts: Iterable[object]) -> tuple[str, ...]:
    """As many of the texts as a hello has room for; a long text is cut."""
    found: list[str] = []
    room = _MOST_CHARS_OF_ALL
    for text in texts:
        if isinstance(text, str):
            short = text if len(text) <= _MOST_CHARS else text[:_MOST_CHARS] + "…"
            room -= len(short)
            if room < 0:
                break
            found.append(safe_text(short))
    return tuple(found)


def _first_line(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        return os.read(fd, 256).partition(b"\n")[0].decode("ascii", "replace").strip()
    except OSError:
        return ""
    finally:
        os.close(fd)


def find_rank(environ: Mapping[str, str] = os.environ) -> Rank | None:
    """The rank that the launcher gave this process; None if there is no such launcher."""
    for names in _LAUNCHERS:
        rank, local_rank, size = (_number(environ.get(name)) for name in names)
        if rank is not None:
            return Rank(rank=rank, local_rank=local_rank, world_size=size)
    return None


def find_group(environ: Mapping[str, str] = os.environ) -> str | None:
    """Name that the ranks of this job share: the job's id, else their meeting point."""
    for name in _JOBS:
        job = environ.get(name, "")
        if job and job.lower() != "none":  # torchrun's id, where none was asked for
            return job
    address, port = environ.get("MASTER_ADDR"), environ.get("MASTER_PORT")
    if find_rank(environ) is not None and address and port:
        return f"{address}:{port}"
    return None


def worker_hello(owner: Hello, *, is_relay: bool = False) -> Hello:
    """The hello of this process as a worker of the owner's run, or as its relay."""
    rank = find_rank()
    return msgspec.structs.replace(
        owner,
        role="relay" if is_relay else "worker",
        producer="console" if is_relay else _worker_name(owner, rank),
        pid=os.getpid(),
        started_at_ns=time.time_ns(),
        started_monotonic_ns=time.monotonic_ns(),
        rank=rank,
        program=None,
    )


def _worker_name(owner: Hello, rank: Rank | None) -> str:
    number = _dataloader_worker()
    name = "worker" if number is None else f"worker-{number}"
    if rank is None or (owner.rank is not None and rank.rank == owner.rank.rank):
        return name
    return f"rank-{rank.rank}" if number is None else f"rank-{rank.rank}/{name}"


def _dataloader_worker() -> int | None:
    """The id of this process among the workers of a PyTorch DataLoader, if it is one."""
    data = sys.modules.get("torch.utils.data")
    info = data.get_worker_info() if data is not None else None
    return None if info is None else int(info.id)


def _number(text: str | None) -> int | None:
    usable = text is not None and text.isascii() and text.isdigit() and len(text) < 10
    return int(text) if text is not None and usable else None
