"""Who a process is: rank and group by launcher, names of workers, names of runs of ranks."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import msgspec
import pytest
from lanes import make_hello

from expman.errors import ConfigError, RunExistsError
from expman.launch.run_directory import create_run, with_rank
from expman.models import ExperimentConfig, Rank
from expman.transport import identity
from expman.transport.hello import Hello

TORCHRUN = {"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "TORCHELASTIC_RUN_ID": "job7"}
SLURM = {"SLURM_PROCID": "3", "SLURM_LOCALID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "991"}
OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "2",
    "OMPI_COMM_WORLD_LOCAL_RANK": "2",
    "OMPI_COMM_WORLD_SIZE": "16",
}
HELLO = make_hello()


def hello(rank: int | None = None) -> Hello:
    """An owner's hello."""
    return msgspec.structs.replace(HELLO, rank=None if rank is None else Rank(rank=rank))


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        (TORCHRUN, (5, 1, 8)),
        (SLURM, (3, 0, 4)),
        (OPEN_MPI, (2, 2, 16)),
        ({"PMIX_RANK": "1"}, (1, None, None)),
        ({"PMI_RANK": "1", "MPI_LOCALRANKID": "0", "PMI_SIZE": "2"}, (1, 0, 2)),
        ({"MV2_COMM_WORLD_RANK": "0"}, (0, None, None)),
        ({**SLURM, **TORCHRUN}, (5, 1, 8)),  # torchrun under srun: the inner one counts
        ({"RANK": "0"}, (0, None, None)),
    ],
)
def test_rank_by_launcher(environ: dict[str, str], expected: tuple[int, ...] | None) -> None:
    """torchrun, SLURM, Open MPI, PMIx, PMI, MVAPICH2, or none."""
    found = identity.find_rank(environ)
    assert expected == (found and (found.rank, found.local_rank, found.world_size))


@pytest.mark.parametrize("rubbish", ["", "x", "1.0", "-1", "--", "0x1", "9" * 30, "１", "1_0"])
def test_rubbish_is_no_rank(rubbish: str) -> None:
    """What is no number from 0 is left alone, and the next launcher is asked."""
    assert identity.find_rank({"RANK": rubbish}) is None
    assert 3 == identity.find_rank({"RANK": rubbish, **SLURM}).rank  # type: ignore[union-attr]
    assert Rank(rank=1) == identity.find_rank(
        {"RANK": "1", "LOCAL_RANK": rubbish, "WORLD_SIZE": rubbish}
    )


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        (TORCHRUN, "job7"),
        (SLURM, "991"),
        ({**SLURM, "TORCHELASTIC_RUN_ID": "none"}, "991"),
        ({"RANK": "0", "MASTER_ADDR": "node1", "MASTER_PORT": "29500"}, "node1:29500"),
        ({"TORCHELASTIC_RUN_ID": "none", "RANK": "0", "MASTER_ADDR": "n", "MASTER_PORT": "1"},
         "n:1"),
        ({"MASTER_ADDR": "node1", "MASTER_PORT": "29500"}, None),  # no rank: no job of many
        ({"PBS_JOBID": "7.head"}, "7.head"),
        ({"LSB_JOBID": "12"}, "12"),
        ({"PMIX_NAMESPACE": "ns1"}, "ns1"),
    ],
)  # fmt: skip
def test_group_by_job(environ: dict[str, str], expected: str | None) -> None:
    """The job's id; where there is none, the place where its ranks meet."""
    assert expected == identity.find_group(environ)


@pytest.fixture
def rank_of(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Sets this process's rank."""

    def set_rank(rank: int | None) -> None:
        for names in identity._LAUNCHERS:
            for name in names:
                monkeypatch.delenv(name, raising=False)
        if rank is not None:
            monkeypatch.setenv("RANK", str(rank))

    set_rank(None)
    return set_rank


@pytest.mark.parametrize(
    ("owner", "mine", "loader", "expected"),
    [
        (None, None, None, "worker"),
        (None, None, 3, "worker-3"),
        (0, 0, None, "worker"),
        (0, 0, 2, "worker-2"),
        (0, 1, None, "rank-1"),
        (None, 1, None, "rank-1"),
        (0, 1, 2, "rank-1/worker-2"),
    ],
)
def test_names_of_workers(
    rank_of,
    monkeypatch: pytest.MonkeyPatch,
    owner: int | None,
    mine: int | None,
    loader: int | None,
    expected: str,
) -> None:
    """torch's worker id where there is one, the rank where it is not the owner's."""
    fake = ModuleType("torch.utils.data")
    info = None if loader is None else SimpleNamespace(id=loader)
    fake.get_worker_info = lambda: info  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.data", fake)
    rank_of(mine)
    found = identity.worker_hello(hello(owner))
    assert ("worker", expected) == (found.role, found.producer)
    assert (found.rank and found.rank.rank) == mine
    assert (HELLO.base_dir, HELLO.experiment) == (found.base_dir, found.experiment)


def test_runs_of_ranks_never_meet(tmp_path: Path) -> None:
    """Ranks above 0 add their number to the name, given or not; the same rank twice fails."""
    config = ExperimentConfig("exp", str(tmp_path), run_name="run")
    names = [create_run(with_rank(config, Rank(rank=rank))).run_name for rank in range(3)]
    assert ["run", "run-rank1", "run-rank2"] == names
    with pytest.raises(RunExistsError):
        create_run(with_rank(config, Rank(rank=1)))
    fresh = ExperimentConfig("exp", str(tmp_path))
    names = [create_run(with_rank(fresh, Rank(rank=1))).run_name for _ in range(2)]
    assert [f"{fresh.run_name}-rank1", f"{fresh.run_name}-rank1-1"] == names


def test_a_name_that_has_no_room_for_the_rank(tmp_path: Path) -> None:
    """A name of full length is refused with the rule, not cut."""
    config = ExperimentConfig("exp", str(tmp_path), run_name="r" * 255)
    with pytest.raises(ConfigError, match="255"):
        create_run(with_rank(config, Rank(rank=1)))


def test_the_host_knows_its_memory() -> None:
    """Host name, boot, device and inode of the memory: what says who may judge this run."""
    found = identity.this_host("shm")
    assert found.hostname
    assert found.boot_id
    assert ":" in found.memory_id


def test_a_program_with_huge_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its hello stays small; what is not text is left out."""
    monkeypatch.setattr("sys.argv", ["train.py", "x" * 10**6, 7, *["y" * 4000] * 100, "\udc80"])
    monkeypatch.setattr("sys.path", ["", "/lib", "/z" * 10**6, 7, *["/a"] * 10**5])
    found = identity.this_program()
    assert ("train.py", "/lib") == (found.argv[0], found.path[0])
    assert sum(map(len, (*found.argv, *found.path))) < 80_000
    monkeypatch.setattr("sys.argv", ["\udc80"])
    assert ("\\udc80",) == identity.this_program().argv


def test_a_program_is_identified_by_its_begin() -> None:
    """As the kernel says it, in any PID namespace."""
    words = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    assert int(words[19]) == identity.this_program().began_ticks
