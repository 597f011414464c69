"""`expman catalog` and `expman mirror`: what they print, and that other commands profit."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from cli.conftest import Expman
from unit.reading.run_files import block, make_run

from expman.models import RunStatus
from expman.storage import object_store


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A base directory with two runs that have ended, and one that goes on."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    base = tmp_path / "base"
    for number, name in enumerate(("a", "b")):
        make_run(base, name, block(0, {"loss": [number + 0.5]}), params={"lr": number})
    make_run(base, "live", status=RunStatus.RUNNING, started_at="2026-02-01T00:00:00.000000Z")
    return base


def test_catalog_says_what_it_read(expman_command: Expman, base: Path) -> None:
    """Once all, then nothing; a list is the same as before."""
    before = expman_command("ls", "-s", "finished", "--json", base_dir=base).out
    result = expman_command("catalog", base)
    assert (0, "") == (result.code, result.err)
    assert result.out.startswith("2 runs (2 read, 0 changed or removed, 1 live)")
    assert expman_command("catalog", base).out.startswith("2 runs (0 read")
    assert expman_command("catalog", "--anew", base).out.startswith("2 runs (2 read")
    assert before == expman_command("ls", "-s", "finished", "--json", base_dir=base).out


def test_catalog_of_few_runs(expman_command: Expman, base: Path) -> None:
    """It says that there is nothing to compact yet; once there is, what was compacted."""
    said = "There is nothing to compact yet, and that is fine: rows are put together for 16"
    first, second = expman_command("catalog", base).out.splitlines()
    assert (" 0 in 0 files" in first, second.startswith(said)) == (False, True)
    for number in range(14):
        make_run(base, f"c{number}", block(0, {"loss": [1.0]}))
    (line,) = expman_command("catalog", base).out.splitlines()
    assert line.startswith(
        "16 runs (14 read, 0 changed or removed, 1 live), rows of 16 runs in 1 f"
    )


def test_catalog_without_ray(
    expman_command: Expman, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says what to install; no catalog is made."""
    monkeypatch.setitem(sys.modules, "ray", None)
    result = expman_command("catalog", "--on", "ray", base)
    assert 1 == result.code
    assert "pip install 'expman-sidecar[ray]'" in result.err
    assert not (base / ".catalog").exists()


def test_catalog_names_what_is_missing(expman_command: Expman, base: Path) -> None:
    """A base directory that is not there fails; a run that cannot be read is counted."""
    assert 1 == expman_command("catalog", base / "none").code
    (base / "exp" / "a" / "run.yaml").write_text("{")
    result = expman_command("catalog", base)
    assert (0, "1 run cannot be read; expman ls names them\n") == (result.code, result.err)


def test_mirror_copies_and_ls_reads_the_store(
    expman_command: Expman, base: Path, tmp_path: Path
) -> None:
    """The store's URL is a base directory for commands that read."""
    url = (tmp_path / "store").as_uri()
    result = expman_command("mirror", base, url)
    assert (0, "") == (result.code, result.err)
    assert result.out.startswith("3 runs: ")
    assert "0 files copied" in expman_command("mirror", base, url).out
    listed = expman_command("ls", "-d", url)
    assert 0 == listed.code
    assert all(name in listed.out for name in ("a", "b", "live"))
    shown = expman_command("show", "exp/a", "-d", url)
    assert (0, True) == (shown.code, "lr" in shown.out)


def test_mirror_names_what_it_could_not_copy(
    expman_command: Expman, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A URL that means nothing is an error; the other runs are copied where one fails."""
    assert 1 == expman_command("mirror", base, "nowhere").code
    (tmp_path / "store" / "exp").mkdir(parents=True)
    (tmp_path / "store" / "exp" / "a").write_text("in the way")
    monkeypatch.setattr(object_store, "PATIENCE_S", 0.0)
    result = expman_command("mirror", base, (tmp_path / "store").as_uri())
    assert 1 == result.code
    assert f"cannot copy {base / 'exp' / 'a'}" in result.err
    assert (tmp_path / "store" / "exp" / "b" / "run.yaml").exists()


def test_commands_read_a_store(expman_command: Expman, base: Path, tmp_path: Path) -> None:
    """A list, a run, rows and a query; nothing is deleted there."""
    (tmp_path / "store").mkdir()
    url = f"file://{tmp_path / 'store'}"
    expman_command("mirror", base, url)
    assert ["live", "b", "a"] == [
        line.split()[1] for line in expman_command("ls", url, base_dir=base).out.splitlines()[1:]
    ]
    assert "lr  1" in expman_command("show", f"{url}/exp/b", base_dir=base).out
    assert "live" in expman_command("show", "latest", base_dir=url).out
    assert "loss=1.5" in expman_command("tail", f"{url}/exp/b", base_dir=base).out
    query = 'SELECT run, "loss:last" FROM runs WHERE "loss:last" > 1'
    assert '"run","loss:last"\n"b",1.5\n' == expman_command("sql", query, "--csv", base_dir=url).out
    result = expman_command("rm", "--yes", f"{url}/exp/b", base_dir=base)
    assert (1, True) == (result.code, "expman deletes nothing" in result.err)
    assert "no experiment 'ex'" in expman_command("ls", "ex", base_dir=url).err
