"""Environment of a program: its packages, its host, its scheduler, its limits."""

from __future__ import annotations

import contextlib
import os
import platform
import re
from collections.abc import Iterable, Mapping

from expman.writer.samplers.cgroup import Cgroup
from expman.writer.samplers.procfs import GIB, pairs_of, read_text

__all__ = ["SCHEDULER", "find_limits", "find_packages", "find_scheduler", "host_facts"]

SCHEDULER = frozenset(
    {
        *(f"SLURM_{n}" for n in ("JOB_ID", "JOB_NAME", "JOB_PARTITION", "JOB_NODELIST", "NNODES")),
        *(f"SLURM_{n}" for n in ("NTASKS", "PROCID", "LOCALID", "NODEID", "CPUS_PER_TASK", "GPUS")),
        *(f"SLURM_{n}" for n in ("ARRAY_JOB_ID", "ARRAY_TASK_ID", "RESTART_COUNT", "SUBMIT_DIR")),
        *("SLURM_CLUSTER_NAME", "SLURM_JOB_QOS", "SLURM_MEM_PER_NODE", "SLURMD_NODENAME"),
        *("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "NODE_RANK"),
        *("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT"),
        *(f"OMPI_COMM_WORLD_{name}" for name in ("RANK", "LOCAL_RANK", "SIZE")),
        *("PMI_RANK", "PMI_SIZE", "PMIX_RANK", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
        *("PBS_JOBID", "PBS_JOBNAME", "PBS_QUEUE", "LSB_JOBID", "LSB_JOBNAME", "LSB_QUEUE"),
        *("JOB_ID", "JOB_NAME", "SGE_TASK_ID", "JOB_COMPLETION_INDEX", "RAY_JOB_ID"),
        *("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "OMP_NUM_THREADS"),
    }
)
"""The only variables that are recorded: an environment has secrets."""
MOST_PACKAGES = 2000
_MOST_CHARS = 1000
_DISTRIBUTION = re.compile(r"(?P<name>.+?)-(?P<version>\d[^-]*)(?:-.*)?\.(?:dist|egg)-info")
_CONTAINERS = (("/.dockerenv", "docker"), ("/run/.containerenv", "podman"))


def find_packages(path: Iterable[str]) -> dict[str, str]:
    """The packages that an interpreter with this `sys.path` finds: name to version.

    Their directories say both, so that no file is opened (PyPA, "Recording installed projects").
    """
    found: dict[str, str] = {}
    for directory in path:
        with contextlib.suppress(OSError):
            for entry in sorted(os.listdir(directory)):
                match = _DISTRIBUTION.fullmatch(entry)
                if match and len(found) < MOST_PACKAGES:  # of two, the one that is imported
                    name = match["name"].lower().replace("_", "-")
                    found.setdefault(name, match["version"])
    return dict(sorted(found.items()))


def find_scheduler(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of a scheduler or a launcher, from a list of those that are known."""
    return {name: environ[name][:_MOST_CHARS] for name in sorted(SCHEDULER & environ.keys())}


def find_limits(pid: int) -> dict[str, float]:
    """The limits of the process's cgroup, and how many processors it may use."""
    found = Cgroup(pid).limits()
    with contextlib.suppress(OSError):
        found["cpus_usable"] = len(os.sched_getaffinity(pid))
    return found


def host_facts(environ: Mapping[str, str], proc: str = "/proc") -> dict[str, object]:
    """Processor, memory and system of this host."""
    found: dict[str, object] = {
        "system": _system_name(),
        "kernel": os.uname().release,
        "machine": os.uname().machine,
    }
    model = re.search(r"^model name\s*:\s*(.+)$", read_text(f"{proc}/cpuinfo"), re.MULTILINE)
    if model:
        found["cpu"] = model[1].strip()
    found["cpus"] = os.cpu_count() or 0
    total = pairs_of(f"{proc}/meminfo").get("MemTotal")
    if total:
        found["memory_gb"] = round(total / GIB, 3)
    kind = next((kind for path, kind in _CONTAINERS if os.path.exists(path)), None)
    if "KUBERNETES_SERVICE_HOST" in environ:
        kind = "kubernetes"
    if kind is not None:
        found["container"] = kind
    return found


def _system_name() -> str:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return platform.system()
    return release.get("PRETTY_NAME") or release.get("NAME") or platform.system()
