"""The machine and the provenance of a run in a few lines."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pyarrow.compute as pc

from expman.reading.vectors import metric_names, read_vectors
from expman.storage.paths import SYSTEM
from expman.storage.provenance import read_provenance

__all__ = ["facts_of_machine", "facts_of_provenance"]

_GPU = re.compile(r"gpu\.(\d+)\.(util_pct|mem_used_mb|mem_total_mb)")
_PEAKS = ("tree.rss_gb", "proc.peak_rss_gb", "proc.rss_gb")
_CPU = ("tree.cpu_pct", "cpu.util_pct")
_COMMIT_CHARS = 10


def facts_of_machine(run_dir: str) -> list[tuple[str, str]]:
    """Titles and texts: the most memory, the mean load of processors and GPUs.

    Raises:
        StorageError: a file cannot be read.
    """
    names = metric_names(run_dir, SYSTEM)
    gpus = [name for name in names if _GPU.fullmatch(name)]
    wanted = [name for name in names if name in {*_PEAKS, *_CPU, "cgroup.mem_limit_gb"}]
    if not wanted and not gpus:
        return []
    table = read_vectors(run_dir, [*wanted, *gpus], stem=SYSTEM, lenient=True)
    found = {name: pc.min_max(table[name]).as_py()["max"] for name in table.column_names}
    means = {name: pc.mean(table[name]).as_py() for name in table.column_names}
    facts = []
    peak = max((found[name] for name in _PEAKS if found.get(name) is not None), default=None)
    processors = next((means[name] for name in _CPU if means.get(name) is not None), None)
    texts = []
    if peak is not None:
        limit = found.get("cgroup.mem_limit_gb")
        texts.append(f"memory up to {_size(peak)}" + (f" of {_size(limit)}" if limit else ""))
    if processors is not None:
        texts.append(f"processors {processors:.3g} %")
    if texts:
        facts.append(("machine", ", ".join(texts)))
    texts = list(_gpu_texts(gpus, found, means))
    if texts:
        facts.append(("GPUs", "; ".join(texts)))
    return facts


def _gpu_texts(
    names: list[str], most: dict[str, float | None], means: dict[str, float | None]
) -> Iterator[str]:
    numbers = sorted({int(match[1]) for name in names if (match := _GPU.fullmatch(name))})
    for number in numbers:
        load, used, total = (
            means.get(f"gpu.{number}.util_pct"),
            most.get(f"gpu.{number}.mem_used_mb"),
            most.get(f"gpu.{number}.mem_total_mb"),
        )
        parts = [] if load is None else [f"{load:.0f} %"]
        if used is not None:
            whole = f" of {_size(total / 1024)}" if total else ""
            parts.append(f"memory up to {_size(used / 1024)}{whole}")
        if parts:
            yield f"{number}: {', '.join(parts)}"


def _size(gib: float) -> str:
    return f"{gib:.3g} GiB" if gib >= 1 else f"{gib * 1024:.3g} MiB"


def facts_of_provenance(run_dir: str) -> list[tuple[str, str]]:
    """Titles and texts: the commit, the command, the host.

    Raises:
        StorageError: provenance.yaml is damaged, or cannot be read.
    """
    document = read_provenance(run_dir)
    facts = []
    git = document.get("git")
    if isinstance(git, dict) and git.get("commit"):
        text = str(git["commit"])[:_COMMIT_CHARS]
        if git.get("branch"):
            text += f" on {git['branch']}"
        facts.append(("commit", f"{text}, with changes" if git.get("dirty") else text))
    if document.get("command"):
        facts.append(("command", " ".join(str(document["command"]).split())))
    if document.get("hostname"):
        facts.append(("host", _host_text(document)))
    return facts


def _host_text(document: dict[str, object]) -> str:
    parts = [str(document["hostname"])]
    host = document.get("host")
    if isinstance(host, dict):
        cpus = host.get("cpus")
        parts += [f"{cpus} processor{'s' * (cpus != 1)}"] if cpus else []
        parts += [f"{host['memory_gb']:.0f} GiB"] if host.get("memory_gb") else []
    gpus = document.get("gpus")
    if isinstance(gpus, list) and gpus:
        names = [str(gpu.get("name", "GPU")) for gpu in gpus if isinstance(gpu, dict)]
        parts += [f"{names.count(name)} × {name}" for name in dict.fromkeys(names)]
    return ", ".join(parts)
