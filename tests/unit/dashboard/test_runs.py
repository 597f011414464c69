"""The table of runs: what is in it, how changes of the directory come to it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hostile import plant
from page_client import Serve, record

from expman.dashboard.catalog import Catalog
from expman.dashboard.events import changes_text
from expman.dashboard.json_text import encode
from expman.storage.paths import replace_file


def rows(browser: Any) -> dict[str, dict[str, Any]]:
    """The table, by id."""
    return {run["id"]: run for run in browser.ask("/api/runs").json["runs"]}


def test_a_run_is_a_row(serve: Serve, base: Path) -> None:
    """It has what is in run.yaml and config.yaml, parameters under dotted names."""
    run = rows(serve(base))["exp/one"]

    assert ("exp", "one", "FINISHED") == (run["experiment"], run["run"], run["status"])
    assert {"lr": 0.1, "model.layers": 3} == run["params"]
    assert {"best": 0.5} == run["scalars"]
    assert (0.1, 1.0, 0.1) == (run["last"]["loss"], run["max"]["loss"], run["min"]["loss"])
    assert 10 == run["rows"]
    assert run["finished_at"] >= run["started_at"] > 1.7e9
    assert run["foreign"] is False


def test_a_run_that_is_not_a_number(tmp_path: Path, serve: Serve, standing_writer: None) -> None:
    """NaN and infinities are texts: JSON has no numbers for them."""
    import expman

    config = expman.ExperimentConfig("exp", tmp_path, run_name="odd")
    with expman.LoggingEngine(config) as engine:
        engine.log_vector({"loss": float("nan"), "big": float("inf"), "n": 2**60}, 1)

    last = rows(serve(tmp_path))["exp/odd"]["last"]

    assert {"loss": "NaN", "big": "Infinity", "n": str(2**60)} == last


def test_only_what_changed_comes_again(base: Path, standing_writer: None) -> None:
    """A version of the catalog asks for what came after it."""
    catalog = Catalog(str(base))
    catalog.scan()
    first = catalog.changes(None)
    record(base, "two")
    assert catalog.scan()

    second = catalog.changes(first.version)
    shutil.rmtree(base / "exp" / "one")
    catalog.scan()
    third = catalog.changes(second.version)

    assert (True, 1, []) == (first.full, len(first.records), first.removed)
    assert (False, 1, []) == (second.full, len(second.records), second.removed)
    assert b'"exp/two"' in second.records[0]
    assert (False, [], ["exp/one"]) == (third.full, third.records, third.removed)
    assert not catalog.scan()


@pytest.mark.parametrize("version", ["", "x", "1", "ffffffff.1", "1.2.3", "99999999.-1"])
def test_an_unknown_version_gets_everything(base: Path, version: str) -> None:
    """As after a new start of the server."""
    catalog = Catalog(str(base))
    catalog.scan()

    assert (True, 1) == (catalog.changes(version).full, len(catalog.changes(version).records))


def test_a_directory_that_goes_away_and_comes_back(base: Path, serve: Serve) -> None:
    """The runs stay in the table, with why they cannot be read; then it goes on."""
    catalog = Catalog(str(base))
    catalog.scan()
    browser = serve(base)
    base.rename(base.with_name("elsewhere"))

    assert catalog.scan()
    assert catalog.gone is not None
    assert "no such directory" in catalog.gone
    answer = browser.ask("/api/run?run=exp/one")
    assert 404 == answer.status
    base.with_name("elsewhere").rename(base)
    assert catalog.scan()
    assert catalog.gone is None
    assert 200 == browser.ask("/api/run?run=exp/one").status


def test_a_run_that_is_deleted_meanwhile(base: Path, serve: Serve) -> None:
    """Each address of it is answered with a sentence."""
    browser = serve(base)
    assert 200 == browser.ask("/api/run?run=exp/one").status
    shutil.rmtree(base / "exp" / "one")

    for part in ("", "/console", "/messages", "/system", "/media", "/histograms"):
        answer = browser.ask(f"/api/run{part}?run=exp/one")
        assert (404, ["error"]) == (answer.status, list(answer.json))
    assert 404 == browser.ask("/api/curves?run=exp/one&metrics=loss").status
    assert {"params": {}} == {
        key: value
        for key, value in browser.ask("/api/compare?runs=exp/one").json.items()
        if key == "params"
    }


@pytest.mark.parametrize("file", ["run.yaml", "config.yaml", "vectors.parquet", "media.jsonl"])
def test_what_is_planted_in_a_run_costs_no_other(
    base: Path, serve: Serve, tmp_path: Path, file: str
) -> None:
    """No answer waits for ever, and none is a failure of the server."""
    kinds = ("pipe", "socket", "device", "directory", "dangling")
    for kind in kinds:
        run = Path(shutil.copytree(base / "exp" / "one", base / "exp" / kind))
        (run / file).unlink(missing_ok=True)
        plant(kind, run / file, tmp_path / "aim")
    browser = serve(base)

    assert "FINISHED" == rows(browser)["exp/one"]["status"]
    for kind in kinds:
        for path in (f"/api/run?run=exp/{kind}", f"/api/curves?run=exp/{kind}&metrics=loss"):
            assert browser.ask(path).status in (200, 404, 422)
        assert 200 == browser.ask(f"/api/compare?runs=exp/one,exp/{kind}").status


@pytest.mark.parametrize("text", [b"status: [", b"", b"\xff\xfe", b"- 1", b"status: ODD\n"])
def test_a_damaged_run_is_shown_as_one(base: Path, serve: Serve, text: bytes) -> None:
    """Its row says what is wrong, and so does its page."""
    replace_file(str(base / "exp" / "one" / "run.yaml"), text)
    browser = serve(base)

    run = rows(browser)["exp/one"]
    page = browser.ask("/api/run?run=exp/one")

    assert "UNREADABLE" == run["status"]
    assert run["error"]
    assert 200 == page.status
    assert page.json["problems"]


def test_a_link_to_a_run_elsewhere_is_not_shown(base: Path, tmp_path: Path, serve: Serve) -> None:
    """Nothing outside the base directory is read, and a file of a run is no way out."""
    (tmp_path / "secret").mkdir()
    shutil.copytree(base / "exp" / "one", tmp_path / "secret" / "run")
    (base / "exp" / "linked").symlink_to(tmp_path / "secret" / "run")
    (base / "other").symlink_to(tmp_path / "secret")
    (base / "exp" / "inner").symlink_to(base / "exp" / "one")
    shutil.copytree(base / "exp" / "one", base / "exp" / "two")
    (base / "exp" / "two" / "config.yaml").unlink()
    (base / "exp" / "two" / "config.yaml").symlink_to(tmp_path / "secret" / "run" / "config.yaml")
    browser = serve(base)

    found = rows(browser)

    assert {"exp/one", "exp/two", "exp/inner"} == set(found)
    assert {} == found["exp/two"]["params"]
    assert "leaves the base directory" in found["exp/two"]["error"]
    assert 404 == browser.ask("/api/run?run=exp/linked").status
    assert 404 == browser.ask("/api/run?run=other/run").status


PATHS = (
    *("../one", "exp/..", "exp/%2e%2e", "..%2fexp/one", "%2e%2e/exp", "exp/one%2f..%2f..%2fx"),
    *("exp/.", "./one", "exp%00/one", "exp/one%00", ".hidden/one", "%c0%ae%c0%ae/one"),
)


def test_the_id_of_a_run_has_two_names(base: Path, serve: Serve) -> None:
    """Nothing else leads to a run."""
    browser = serve(base)

    for path in PATHS:
        for part in ("", "/console", "/media/file"):
            assert browser.ask(f"/api/run{part}?path=x&run={path}").status in (400, 403, 404)


HOSTILE = [
    "a..",
    "%2e%2e",
    "end ",
    "<img src=x onerror=alert(1)>",
    "__proto__",
    "a%2Fb",
    "a b&c=d",
    "ü,#?",
    "'\"`$(x)",
]


def test_any_name_is_data(serve: Serve, base: Path) -> None:
    """Names come back as they are, and lead to their run if they are quoted."""
    for name in HOSTILE:
        shutil.copytree(base / "exp" / "one", base / "exp" / name)
    browser = serve(base)

    assert {f"exp/{name}" for name in HOSTILE} < set(rows(browser))
    for name in HOSTILE:
        found = browser.ask(f"/api/run?run=exp/{quote(name, safe='')}")
        assert (200, name) == (found.status, found.json["run"])
        curve = browser.ask(f"/api/curves?run={quote(f'exp/{name}', safe='')}&metric=loss")
        assert 10 == curve.table.num_rows


def test_names_that_are_not_text(base: Path, serve: Serve) -> None:
    """A file system's names are bytes; escapes stand for those that are not UTF-8."""
    raw = os.fsencode(base / "exp") + b"/bad\xff"
    os.mkdir(raw)
    shutil.copy(base / "exp" / "one" / "run.yaml", os.path.join(os.fsdecode(raw), "run.yaml"))
    browser = serve(base)

    assert "exp/bad\\udcff" in rows(browser)
    assert 200 == browser.ask("/api/run?run=exp/bad%5Cudcff").status


def test_a_text_of_a_megabyte_is_cut(base: Path, serve: Serve) -> None:
    """The table stays small; the page of the run has more of it."""
    path = base / "exp" / "one" / "config.yaml"
    replace_file(str(path), b"long: " + b"x" * 1_000_000 + b"\n")
    browser = serve(base)

    assert 301 == len(rows(browser)["exp/one"]["params"]["long"])
    assert 20_001 == len(browser.ask("/api/run?run=exp/one").json["params"]["long"])


def test_json_of_anything() -> None:
    """Values of YAML that JSON has not become texts."""
    deep: list[object] = []
    for _ in range(500):
        deep = [deep]

    found = encode({1: None, "a": "\udcff", "b": float("nan")})
    assert b'{"1":null,"a":"\\\\udcff","b":"NaN"}' == found
    assert b"[" == encode(deep)[:1]
    assert changes_text(Catalog("/nowhere").changes(None)).startswith(b'{"version":')
