"""Copies in Google Cloud Storage and in Azure, at emulators that others wrote.

Google's is gcp-storage-emulator, run by the interpreter of `EXPMAN_STORES_PYTHON`; Azure's is
Azurite, in the directory `EXPMAN_AZURITE`.
"""

from __future__ import annotations

import json
import os
import urllib.request
from pathlib import Path

import pyarrow.fs
import pytest
from interop.servers import free_port, served
from process.runs import wait_until
from unit.reading.run_files import block, make_run

import expman
from expman import ExperimentConfig, LoggingEngine, catalog
from expman.errors import ConfigError
from expman.storage.object_store import ObjectStore
from expman.storage.paths import MIRROR_LOCK

RUNS = 4
_ACCOUNT = "devstoreaccount1"
# The key of every Azurite, as Microsoft documents it.
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    base = tmp_path / "base"
    for number in range(RUNS):
        make_run(base, f"r{number}", block(0, {"loss": [number + 0.5]}), params={"lr": number})
    (base / "exp" / "r0" / "artifacts").mkdir()
    (base / "exp" / "r0" / "artifacts" / "big.bin").write_bytes(os.urandom(5_000_000))
    return base


def check(base: Path, url: str) -> None:
    """Runs are copied, listed, opened and changed as in S3; one is copied while it is live."""
    report = catalog.mirror(base, url)
    assert (RUNS, RUNS, []) == (report.whole, report.cataloged, report.failed)
    assert 0 == catalog.mirror(base, url).files
    same(base, url)
    where, _, options = url.partition("?")
    run = expman.Run(f"{where}/exp/r1?{options}")
    assert ({"lr": 1}, 1) == (run.config, run.vectors().num_rows)
    data = (base / "exp/r0/artifacts/big.bin").read_bytes()
    assert data == ObjectStore(url).read("exp/r0/artifacts/big.bin")
    make_run(base, "r2", tags=["changed"])
    catalog.mirror(base, url)
    same(base, url)
    with LoggingEngine(ExperimentConfig("exp", base, run_name="live", mirror=url)) as engine:
        engine.log_vector({"loss": 1.0}, 0)
    live = expman.Run(engine.run_dir)
    wait_until(lambda: live.metadata.mirror_behind == 0, "all is copied")
    lock = Path(engine.run_dir) / MIRROR_LOCK
    wait_until(lambda: not lock.exists(), "the copier has ended")
    same(base, url)


def same(base: Path, url: str) -> None:
    columns = ["run", "status", "tags", "params.lr"]
    assert expman.runs(base).table(columns).equals(expman.runs(url).table(columns))
    assert expman.vectors(expman.runs(base)).equals(expman.vectors(expman.runs(url)))


@pytest.mark.stores
def test_google_cloud_storage(base: Path) -> None:
    """An emulator of Google's protocol."""
    port = free_port()
    command = [os.environ["EXPMAN_STORES_PYTHON"], "-m", "gcp_storage_emulator", "start"]
    with served(port, [*command, "--port", str(port), "--in-memory"]):
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/storage/v1/b?project=p",
            data=json.dumps({"name": "bucket"}).encode(),
            headers={"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request).close()
        check(base, f"gs://anonymous@bucket/t?scheme=http&endpoint_override=127.0.0.1:{port}")


@pytest.mark.azurite
def test_azure(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Microsoft's emulator, with a key."""
    port = free_port()
    script = os.path.join(os.environ["EXPMAN_AZURITE"], "dist", "src", "blob", "main.js")
    options = ["--location", str(tmp_path / "azurite"), "--blobPort", str(port)]
    options += ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]
    monkeypatch.setenv("AZURE_STORAGE_KEY", _KEY)
    (tmp_path / "azurite").mkdir()
    with served(port, ["node", script, *options]):
        pyarrow.fs.AzureFileSystem(
            _ACCOUNT,
            account_key=_KEY,
            blob_storage_authority=f"127.0.0.1:{port}",
            dfs_storage_authority=f"127.0.0.1:{port}",
            blob_storage_scheme="http",
            dfs_storage_scheme="http",
        ).create_dir("box")
        check(base, f"az://box@{_ACCOUNT}/t?scheme=http&endpoint_override=127.0.0.1:{port}")


@pytest.mark.parametrize("url", ["az://box", "az://box@a/x?colour=red", "az://a:secret@b/x"])
def test_urls_of_azure_that_lack_something(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has no password."""
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT", raising=False)
    with pytest.raises(ConfigError) as raised:
        ObjectStore(url)
    assert "secret" not in str(raised.value)
