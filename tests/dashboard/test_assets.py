"""What the page is made of: small, of our own or licensed, and unable to parse markup."""

from __future__ import annotations

import re
from pathlib import Path

import expman

STATIC = Path(expman.__file__).parent / "dashboard" / "static"
MOST_BYTES = 300_000


def test_all_assets_are_small() -> None:
    """All files of the page together, licenses included, have less than 300 kB as they are."""
    sizes = {path.name: path.stat().st_size for path in STATIC.rglob("*") if path.is_file()}

    assert sum(sizes.values()) < MOST_BYTES, sizes


def test_what_others_wrote_has_its_license() -> None:
    """Each library in vendor/ has its license beside it."""
    libraries = {path.name.split(".")[0] for path in (STATIC / "vendor").glob("*.js")}

    assert {"uPlot"} == libraries
    for name in libraries:
        assert "Copyright" in (STATIC / "vendor" / f"{name}.LICENSE").read_text()


def test_nothing_parses_markup_or_leaves_the_server() -> None:
    """No module makes markup of text, evaluates text, or names another host."""
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function"
        r"|setAttribute\(\"style|https?://(?!www\.w3\.org)"
    )
    found = {
        path.name: forbidden.findall(path.read_text(encoding="utf-8"))
        for path in [*STATIC.glob("*.js"), STATIC / "index.html", STATIC / "app.css"]
    }

    assert {} == {name: words for name, words in found.items() if words}


def test_imports_go_one_way() -> None:
    """Modules import each other without a circle, in the form that a report can carry."""
    imports = {
        path.name: set(
            re.findall(r'^import \{[^}]*\} from "\./([\w.]+)";$', path.read_text(), re.MULTILINE)
        )
        for path in STATIC.glob("*.js")
    }
    for path in STATIC.glob("*.js"):
        assert path.read_text().count("\nimport ") <= len(imports[path.name]) + 3

    done: set[str] = set()
    while left := {name: needs - done for name, needs in imports.items() if name not in done}:
        ready = {name for name, needs in left.items() if not needs}
        assert ready, left
        done |= ready
