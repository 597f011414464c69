"""Samples of the machine in system.parquet: none lost, none twice, and no other sink held up."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from lanes import make_hello

import expman
from expman.models import RunStatus
from expman.storage.tail import TailFile
from expman.writer.files import RunFiles
from expman.writer.samplers.samples import MachineSample
from expman.writer.sinks import system

SECOND_NS = 10**9


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    path = tmp_path / "lanes" / "run"
    path.mkdir(parents=True)
    return path


def opened(run_dir: Path) -> RunFiles:
    hello = make_hello(base_dir=str(run_dir.parent.parent), system_metrics_interval_secs=15)
    return RunFiles(hello, 0)


def sample(number: int, **values: float) -> MachineSample:
    return MachineSample(number * SECOND_NS, {"mem.used_gb": float(number), **values})


def end(files: RunFiles) -> None:
    while not files.settle():
        pass
    files.finish(RunStatus.FINISHED, None)
    files.close()


def numbers(run_dir: Path) -> list[float]:
    return expman.Run(run_dir).system()["mem.used_gb"].to_pylist()


def test_a_sample_is_written_at_once(run_dir: Path) -> None:
    """It is in no shared memory, so nothing waits for a flush interval."""
    files = opened(run_dir)
    files.take_samples([sample(0, extra=1.5)])
    assert files.is_due()
    files.commit()
    assert [0.0] == numbers(run_dir)
    files.close()
    table = expman.Run(run_dir).system()
    assert ["step", "timestamp", "mem.used_gb", "extra"] == table.column_names


def test_a_successor_goes_on(run_dir: Path) -> None:
    """Whatever the writer before has written is there once, and numbers go on."""
    for first in (0, 2, 4):
        files = opened(run_dir)
        for number in (first, first + 1):
            files.take_samples([sample(number)])
            files.commit()
        if first < 4:
            files.close()
    end(files)
    table = expman.Run(run_dir).system(["step", "mem.used_gb"])
    assert list(range(6)) == table["step"].to_pylist()
    assert [float(n) for n in range(6)] == table["mem.used_gb"].to_pylist()
    assert {"run.yaml", "run.log", "system.parquet"} == {path.name for path in run_dir.iterdir()}


def test_samples_of_a_killed_writer_only(run_dir: Path) -> None:
    """A successor that takes no sample brings those of the tail into system.parquet, too."""
    files = opened(run_dir)
    files.take_samples([sample(0)])
    files.commit()
    files.close()
    end(opened(run_dir))
    assert [] == list(run_dir.glob("system-*.arrow"))
    assert [0.0] == numbers(run_dir)


def test_no_samples_no_file(run_dir: Path) -> None:
    """A run that is not sampled has no system.parquet."""
    end(opened(run_dir))
    assert not (run_dir / "system.parquet").exists()
    assert 0 == expman.Run(run_dir).system().num_rows


def test_a_disk_that_refuses_samples(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait, one line says so, and everything else is committed."""
    append = TailFile.append

    def refuse(file: TailFile, *args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", file.path)

    files = opened(run_dir)
    monkeypatch.setattr(TailFile, "append", refuse)
    monkeypatch.setattr(system, "PAUSE_S", 0.0)
    for number in range(12):
        files.take_samples([sample(number)])
        files.commit()
    monkeypatch.setattr(TailFile, "append", append)
    files.commit()
    assert [float(n) for n in range(12)] == numbers(run_dir)
    files.take_samples([sample(12)])
    end(files)
    assert [float(n) for n in range(13)] == numbers(run_dir)
    assert 1 == (run_dir / "run.log").read_text().count("samples of the machine wait")


def test_few_samples_wait(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more than can be kept, the oldest are left out and counted."""
    monkeypatch.setattr(system, "MOST_WAITING", 3)
    files = opened(run_dir)
    files.take_samples([sample(number) for number in range(5)])
    end(files)
    assert [2.0, 3.0, 4.0] == numbers(run_dir)
    assert "2 samples of the machine are left out" in (run_dir / "run.log").read_text()
