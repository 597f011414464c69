"""The report: one file with everything in it, which asks nobody."""

from __future__ import annotations

import base64
import gzip
import html.parser
import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from page_client import record

import expman
from expman.dashboard.report import make_report
from expman.dashboard.single_file import STATIC


class _Elements(html.parser.HTMLParser):
    """What a browser would find."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.data: dict[str, str] = {}
        self._id: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._id = dict(attrs).get("id")

    def handle_data(self, data: str) -> None:
        if self._id is not None:
            self.data[self._id] = self.data.get(self._id, "") + data


def read(page: bytes) -> _Elements:
    elements = _Elements()
    elements.feed(page.decode())
    return elements


def unpacked(elements: _Elements, name: str) -> bytes:
    return gzip.decompress(base64.b64decode(elements.data[name]))


def document(page: bytes) -> Any:
    return json.loads(unpacked(read(page), "expman-report"))


def test_it_has_what_the_page_asks_for(base: Path) -> None:
    """The answers of the server, and each run's curves as an Arrow stream with times."""
    record(base, "two")
    page = make_report([str(base / "exp" / "one"), str(base / "exp" / "two")])

    found = document(page)

    assert ["exp/one", "exp/two"] == [run["id"] for run in found["runs"]]
    assert {"lr": 0.1, "model.layers": 3} == found["details"]["exp/one"]["params"]
    assert "hello" == found["messages"]["exp/two"]["lines"][0]["text"]
    assert {"exp/one", "exp/two"} == set(found["compare"]["metrics"]["loss"])
    with pa.ipc.open_stream(unpacked(read(page), "expman-curves-1")) as reader:
        table = reader.read_all()
    assert ["metric", "producer", "x", "y", "t"] == table.column_names
    assert 20 == table.num_rows
    assert min(table["t"].to_pylist()) > 1.7e9


def test_it_asks_nobody(base: Path) -> None:
    """No element has an address but data: URLs, and the policy allows no connection."""
    elements = read(make_report([str(base / "exp" / "one")]))

    addresses = [
        value
        for _, attributes in elements.found
        for name, value in attributes.items()
        if name in ("src", "href", "action", "srcset")
    ]
    policy = next(
        str(attributes["content"])
        for tag, attributes in elements.found
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert addresses
    assert all(value is not None and value.startswith("data:") for value in addresses)
    assert "default-src 'none'" in policy
    assert "connect-src" not in policy
    assert "unsafe" not in policy


def test_its_modules_are_all_there() -> None:
    """Each import of a module leads to another one in the map."""
    page = make_report([]).decode()
    found = re.search(r'<script type="importmap">(.*?)</script>', page)
    assert found is not None
    imports = json.loads(found[1])["imports"]

    wanted = {"expman/app.js"}
    for address in imports.values():
        code = base64.b64decode(address.partition(",")[2]).decode()
        wanted |= set(re.findall(r"""^(?:import|export)\b.*?["']([^"']+)["'];$""", code, re.M))

    assert set() == wanted - set(imports)
    names = {f"expman/{path.relative_to(STATIC)}" for path in Path(STATIC).glob("*.js")}
    assert names == set(imports)


@pytest.mark.parametrize("text", ["</script><script>alert(1)</script>", "<!--<script>", "\u2028"])
def test_texts_of_a_run_are_data(base: Path, text: str) -> None:
    """Whatever they hold, no element comes of it."""
    run = base / "exp" / "one"
    plain = len(read(make_report([str(run)])).found)
    (run / "notes.md").write_text(text)

    page = make_report([str(run)])

    assert plain == len(read(page).found)
    assert text == document(page)["details"]["exp/one"]["notes"]


def test_numbers_stay_apart(tmp_path: Path, standing_writer: None) -> None:
    """They are rounded to what no picture shows; whole, huge and tiny ones not at all."""
    values = [0.00012341, 0.00012344, 123456789.0, 1e300, 1e-300, math.inf, math.nan, -0.0]
    config = expman.ExperimentConfig("exp", tmp_path, run_name="r")
    with expman.LoggingEngine(config) as engine:
        for step, value in enumerate(values):
            engine.log_vector({"loss": value}, step)
        run_dir = engine.run_dir

    with pa.ipc.open_stream(unpacked(read(make_report([run_dir])), "expman-curves-0")) as reader:
        found = reader.read_all()["y"].to_pylist()

    assert found[0] != found[1]
    assert all(
        math.isclose(one, two, rel_tol=1e-7) for one, two in zip(found[:5], values, strict=False)
    )
    assert [123456789.0, 1e300, 1e-300, math.inf] == found[2:6]
    assert math.isnan(found[6])


def test_media_are_included_up_to_a_size(base: Path) -> None:
    """In the order of logging; the others are counted."""
    run = base / "exp" / "one"
    (run / "media").mkdir(exist_ok=True)
    lines = []
    for number, size in enumerate((10, 1000, 20)):
        (run / "media" / f"{number}.png").write_bytes(b"x" * size)
        lines.append({"file": f"media/{number}.png", "tag": "a", "step": number, "bytes": size})
    (run / "media" / "page.html").write_text("<script>")
    lines.append({"file": "media/page.html", "tag": "a", "step": 4, "bytes": 8})
    (run / "media.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    found = document(make_report([str(run)], media_bytes=100))

    media = found["media"]["exp/one"]
    assert [True, False, True, False] == ["url" in item for item in media]
    assert "data:image/png;base64,eHh4eHh4eHh4eA==" == media[0]["url"]
    assert 1 == found["media_left_out"]


def test_damaged_runs_are_in_it(base: Path) -> None:
    """With what is wrong; the others are as they would be without them."""
    shutil.copytree(base / "exp" / "one", base / "exp" / "bad")
    for name in ("run.yaml", "vectors.parquet", "config.yaml"):
        (base / "exp" / "bad" / name).write_bytes(b"\xff[")

    found = document(make_report([str(base / "exp" / name) for name in ("bad", "one")]))

    assert ["UNREADABLE", "FINISHED"] == [run["status"] for run in found["runs"]]
    assert found["details"]["exp/bad"]["problems"]
    assert [] == found["details"]["exp/one"]["problems"]
