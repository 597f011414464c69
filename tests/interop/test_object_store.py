"""A server that speaks S3, behind a proxy with faults: what is copied is whole, and read back.

The server is moto, run by the interpreter of `EXPMAN_STORES_PYTHON`.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow.fs
import pytest
from interop.faulty_proxy import FaultyProxy
from interop.servers import free_port, served
from process.runs import wait_until
from unit.reading.run_files import block, make_run

import expman
from expman import ExperimentConfig, LoggingEngine, RunStatus, catalog
from expman.errors import StorageError
from expman.storage.object_store import ObjectStore
from expman.storage.paths import MIRROR_LOCK

pytestmark = [pytest.mark.stores, pytest.mark.timeout(600)]

RUNS = 6


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    """The port of a server."""
    port = free_port()
    command = [os.environ["EXPMAN_STORES_PYTHON"], "-m", "moto.server", "-p", str(port)]
    with served(port, command):
        yield port


@pytest.fixture
def proxy(server: int) -> Iterator[FaultyProxy]:
    proxy = FaultyProxy(server)
    yield proxy
    proxy.close()


@pytest.fixture
def url(server: int, proxy: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A URL in a bucket of the test's own, by way of the proxy."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bucket = "b" + os.urandom(6).hex()
    pyarrow.fs.S3FileSystem(
        endpoint_override=f"127.0.0.1:{server}",
        scheme="http",
        region="us-east-1",
        allow_bucket_creation=True,
    ).create_dir(bucket)
    options = f"region=us-east-1&scheme=http&endpoint_override=127.0.0.1:{proxy.port}"
    return f"s3://{bucket}/team?{options}"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    base = tmp_path / "base"
    for number in range(RUNS):
        make_run(
            base, f"r{number}", block(0, {"loss": [number + 0.5, 0.25]}), params={"lr": number}
        )
    (base / "exp" / "r0" / "artifacts").mkdir()
    (base / "exp" / "r0" / "artifacts" / "big.bin").write_bytes(os.urandom(12_000_000))
    return base


def reads_the_same(base: Path, url: str) -> None:
    columns = ["run", "status", "params.lr", "loss:min"]
    assert expman.runs(base).table(columns).equals(expman.runs(url).table(columns))
    assert expman.vectors(expman.runs(base)).equals(expman.vectors(expman.runs(url)))


def test_runs_are_copied_and_read(base: Path, url: str) -> None:
    """Also a file that takes several parts; nothing is copied twice."""
    report = catalog.mirror(base, url)
    assert (RUNS, RUNS, []) == (report.runs, report.whole, report.failed)
    assert 0 == catalog.mirror(base, url).files
    reads_the_same(base, url)
    store = ObjectStore(url)
    assert (base / "exp/r0/artifacts/big.bin").read_bytes() == store.read(
        "exp/r0/artifacts/big.bin"
    )


@pytest.mark.parametrize("fault", ["500", "torn", "slow"])
def test_faults_in_passing_do_no_harm(base: Path, url: str, proxy: FaultyProxy, fault: str) -> None:
    """Every other connection fails; in the end the store has all, each object whole."""
    proxy.fail(itertools.islice(itertools.cycle([fault, ""]), 40))
    report = catalog.mirror(base, url)
    assert (RUNS, []) == (report.whole, report.failed)
    proxy.fail(itertools.islice(itertools.cycle(["", fault]), 20))
    reads_the_same(base, url)


def test_a_store_that_is_away_is_named_and_costs_little(
    base: Path, url: str, proxy: FaultyProxy
) -> None:
    """The error has the address; the next call copies all."""
    proxy.fail(itertools.repeat("500"))
    with pytest.raises(StorageError, match="s3://"):
        catalog.mirror(base, url, store=ObjectStore(url, patience_s=1.0))
    proxy.fail(())
    assert RUNS == catalog.mirror(base, url).whole


def test_wrong_credentials_are_not_tried_again(base: Path, url: str, proxy: FaultyProxy) -> None:
    """The store's refusal is the message, at once."""
    proxy.fail(itertools.repeat("403"))
    with pytest.raises(StorageError, match=r"INVALID_ACCESS_KEY_ID|InvalidAccessKeyId|403"):
        catalog.mirror(base, url)
    assert proxy.seen < 10


def test_a_live_run_is_copied_beside_its_writer(
    tmp_path: Path, url: str, proxy: FaultyProxy
) -> None:
    """Through faults in passing; the run ends as ever, and its count becomes 0."""
    proxy.fail(itertools.islice(itertools.cycle(["500", "", "torn", ""]), 24))
    base = tmp_path / "live"
    with LoggingEngine(ExperimentConfig("exp", base, run_name="a", mirror=url)) as engine:
        engine.log_params({"lr": 0.1})
        for step in range(100):
            engine.log_vector({"loss": 1 / (step + 1)}, step)
    run = expman.Run(engine.run_dir)
    assert RunStatus.FINISHED == run.status
    wait_until(lambda: run.metadata.mirror_behind == 0, "all is copied")
    lock = Path(engine.run_dir) / MIRROR_LOCK
    wait_until(lambda: not lock.exists(), "the copier has ended")
    assert "?" not in str(run.metadata.mirror)
    reads_the_same(base, url)


def test_after_a_fault_in_the_middle_the_rest_is_copied(
    base: Path, url: str, proxy: FaultyProxy
) -> None:
    """The store goes away while runs are copied, and comes back for the next call."""
    proxy.fail(itertools.chain([""] * 3, itertools.repeat("500")))
    store = ObjectStore(url, patience_s=1.0)
    try:
        assert catalog.mirror(base, url, store=store).failed
    except StorageError:
        pass
    proxy.fail(())
    assert RUNS == catalog.mirror(base, url).whole
    reads_the_same(base, url)
    shutil.rmtree(base)
    assert RUNS == len(expman.runs(url))
