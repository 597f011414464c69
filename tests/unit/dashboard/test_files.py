"""Files of a run: only those below the base directory, and none of them runs a script."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hostile import plant
from page_client import Answer, Browser, Serve

SECRET = b"the secret outside"


@pytest.fixture
def run(base: Path) -> Path:
    """A run with files of all kinds, and a secret beside its base directory."""
    (base.parent / "secret.txt").write_bytes(SECRET)
    run = base / "exp" / "one"
    (run / "artifacts" / "deep").mkdir()
    (run / "artifacts" / "deep" / "page.html").write_text("<script>alert(1)</script>")
    (run / "artifacts" / "blob.bin").write_bytes(b"\0" * 10)
    (run / "media").mkdir(exist_ok=True)
    (run / "media" / "a.png").write_bytes(b"\x89PNG" + b"x" * 1000)
    (run / "media" / "b.svg").write_text("<svg onload='alert(1)'/>")
    pq.write_table(pa.table({"n": range(2500), "t": ["<b>"] * 2500}), run / "media" / "t.parquet")
    lines = [
        {"file": "media/a.png", "tag": "pic", "step": 1, "kind": "image", "bytes": 1004},
        {"file": "media/b.svg", "tag": "pic", "step": 2, "kind": "image", "bytes": 1},
        {"file": "../../secret.txt", "tag": "out", "step": 3},
        {"file": "media/t.parquet", "tag": "table", "step": 1, "kind": "table"},
    ]
    (run / "media.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run / "stacks").mkdir()
    (run / "stacks" / "1.txt").write_text("Thread 1")
    return run


def fetch(browser: Browser, kind: str, path: str, **headers: str) -> Answer:
    return browser.ask(f"/api/run/{kind}?run=exp/one&path={quote(path, safe='')}", **headers)


OUTSIDE = (
    *("../../../secret.txt", "artifacts/../../../../secret.txt", "/etc/passwd", ""),
    *("artifacts/..%2f..%2f..%2f..%2fsecret.txt", "artifacts//etc/passwd", "artifacts/./x"),
    *("artifacts/\0", "artifacts/link.txt", "artifacts/folder/secret.txt", "..", "."),
    *("artifacts", "artifacts/deep", "media/pipe", "run.yaml/x", "artifacts/x" * 1000),
)


@pytest.mark.parametrize("kind", ["artifact?", "media/file?", "table?", "artifact?preview=1&"])
def test_a_path_never_leaves(run: Path, serve: Serve, tmp_path: Path, kind: str) -> None:
    """Not by dots, nor encoded, nor by links; and a pipe is never waited for."""
    (run / "artifacts" / "link.txt").symlink_to(run.parent.parent.parent / "secret.txt")
    (run / "artifacts" / "folder").symlink_to(run.parent.parent.parent)
    plant("pipe", run / "media" / "pipe", tmp_path)
    browser = serve(run.parent.parent)

    for path in OUTSIDE:
        answer = browser.ask(f"/api/run/{kind}run=exp/one&path={quote(path, safe='%')}")
        assert answer.status in (400, 404, 415, 422), path
        assert SECRET not in answer.body
        assert ["error"] == list(answer.json)


def test_a_link_within_the_base_directory_is_followed(run: Path, serve: Serve) -> None:
    """Tools keep large files elsewhere in the same directory, with links to them."""
    (run / "artifacts" / "linked.txt").symlink_to(run / "artifacts" / "source.txt")

    assert b"saved" == fetch(serve(run.parent.parent), "artifact", "artifacts/linked.txt").body


@pytest.mark.parametrize(
    ("kind", "path", "shown"),
    [
        ("media/file", "media/a.png", "image/png"),
        ("media/file", "media/b.svg", None),
        ("artifact", "artifacts/deep/page.html", None),
        ("artifact", "artifacts/blob.bin", None),
        ("artifact", "artifacts/source.txt", "text/plain; charset=utf-8"),
    ],
)
def test_a_file_is_locked_up(
    run: Path, serve: Serve, kind: str, path: str, shown: str | None
) -> None:
    """It is in a sandbox; what could run a script is only ever saved."""
    answer = fetch(serve(run.parent.parent), kind, path)

    assert (200, (run / path).read_bytes()) == (answer.status, answer.body)
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert "nosniff" == answer.headers["x-content-type-options"]
    assert (shown or "application/octet-stream") == answer.headers["content-type"]
    name = os.path.basename(path)
    kept = "inline" if shown else "attachment"
    assert f"{kept}; filename*=UTF-8''{name}" == answer.headers["content-disposition"]


def test_a_preview_is_text(run: Path, serve: Serve) -> None:
    """Whatever the file is called; bytes are not shown."""
    browser = serve(run.parent.parent)

    page = browser.ask("/api/run/artifact?run=exp/one&preview=1&path=artifacts/deep/page.html")
    blob = browser.ask("/api/run/artifact?run=exp/one&preview=1&path=artifacts/blob.bin")

    assert ("text/plain; charset=utf-8", "<script>alert(1)</script>") == (
        page.headers["content-type"],
        page.text,
    )
    assert (415, "This file is not text.") == (blob.status, blob.json["error"])


@pytest.mark.parametrize(
    ("asked", "got", "said"),
    [
        ("bytes=0-3", b"\x89PNG", "bytes 0-3/1004"),
        ("bytes=1000-", b"xxxx", "bytes 1000-1003/1004"),
        ("bytes=-2", b"xx", "bytes 1002-1003/1004"),
    ],
)
def test_parts_of_a_file(run: Path, serve: Serve, asked: str, got: bytes, said: str) -> None:
    """Videos are read in parts."""
    answer = fetch(serve(run.parent.parent), "media/file", "media/a.png", Range=asked)

    assert (206, got, said) == (answer.status, answer.body, answer.headers["content-range"])


@pytest.mark.parametrize("asked", ["bytes=9-1", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=2000-"])
def test_odd_ranges_get_the_file(run: Path, serve: Serve, asked: str) -> None:
    """As if none was asked for."""
    answer = fetch(serve(run.parent.parent), "media/file", "media/a.png", Range=asked)

    assert (200, 1004) == (answer.status, len(answer.body))


def test_media_are_listed(run: Path, serve: Serve) -> None:
    """But for a line that would lead out of the run."""
    found = serve(run.parent.parent).ask("/api/run/media?run=exp/one&tag=pic").json

    keys = ("file", "kind", "step", "shown")
    assert [("media/a.png", "image", 1, True), ("media/b.svg", "image", 2, False)] == [
        tuple(item[key] for key in keys) for item in found
    ]


def test_rows_of_a_table(run: Path, serve: Serve) -> None:
    """Only those that are asked for."""
    browser = serve(run.parent.parent)

    found = browser.ask("/api/run/table?run=exp/one&path=media/t.parquet&offset=2498&limit=10").json
    far = browser.ask("/api/run/table?run=exp/one&path=media/t.parquet&offset=9999").json
    wrong = fetch(browser, "table", "media/a.png")

    assert {"columns": ["n", "t"], "rows": [[2498, "<b>"], [2499, "<b>"]], "total": 2500} == found
    assert ([], 2500) == (far["rows"], far["total"])
    assert 422 == wrong.status


def test_stacks_and_messages(run: Path, serve: Serve) -> None:
    """As text, and by name only."""
    browser = serve(run.parent.parent)

    page: dict[str, Any] = browser.ask("/api/run?run=exp/one").json
    messages = browser.ask("/api/run/messages?run=exp/one").json

    assert ["1.txt"] == page["stacks"]
    assert "Thread 1" == browser.ask("/api/run/stacks?run=exp/one&name=1.txt").text
    for name in ("../run.yaml", "..", "", "nothing", "%00"):
        assert 404 == browser.ask(f"/api/run/stacks?run=exp/one&name={quote(name)}").status
    assert ("INFO", "hello") == (messages["lines"][0]["level"], messages["lines"][0]["text"])
    assert messages["next"] == messages["size"]


def test_what_differs(run: Path, serve: Serve) -> None:
    """Parameters and facts that are the same are only counted."""
    import shutil

    shutil.copytree(run, run.parent / "two")
    text = (run / "config.yaml").read_text().replace("lr: 0.1", "lr: 0.2")
    (run.parent / "two" / "config.yaml").write_text(text)

    found = serve(run.parent.parent).ask("/api/compare?run=exp/one&run=exp/two&metric=loss:min")

    assert {"lr": {"exp/one": 0.1, "exp/two": 0.2}} == found.json["params"]
    assert 1 == found.json["same_count"]["params"]
    assert {"min": 0.1, "max": 1.0, "last": 0.1} == found.json["metrics"]["loss"]["exp/two"]
    assert ({}, "5 runs with a number of the metric are needed") == (
        found.json["importance"],
        found.json["why_not"],
    )
