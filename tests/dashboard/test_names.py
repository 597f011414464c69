"""Runs and experiments of any name that the recorder takes, in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

import expman

pytestmark = pytest.mark.browser

NAMES = (
    *("what?", "a?tab=files", "a#b", "100%", "%2F", "%2e%2e", "a%20b", " both ends ", "a..", "~!~"),
    *(
        "quo\"te'",
        "a&b=c;d+e",
        "a,b",
        "back\\slash",
        "<b>",
        "__proto__",
        "größe-日本-🙂",
        "e\u0301",
    ),
    "x" * 255,
)
TITLE = "document.querySelector('h1 bdi')?.textContent"


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Runs of these names, with a file of an odd name, and a server of them."""
    from expman.dashboard.serving import Page

    base = tmp_path_factory.mktemp("names")
    file = base / ".what? 100%#.txt"
    file.write_text("kept")
    with expman.init(NAMES[0], NAMES[0], base_dir=base, quiet=True) as run:
        expman.log_vector({"loss": 1.0}, 0)
        expman.save_artifact(str(file), "what? 100%#.txt")
    for name in NAMES[1:]:
        config = expman.ExperimentConfig(name, str(base), run_name=name)  # the recorder takes it
        shutil.copytree(run.run_dir, config.run_dir)
    page = Page(str(base), port=0)
    page.start()
    yield base, page.address
    page.stop()


@pytest.fixture
def page(visit: Any, named: tuple[Path, str]) -> Any:
    return visit(named[1])


def address(name: str) -> str:
    return f"#/run/{quote(name, safe='')}/{quote(name, safe='')}"


def test_the_table_leads_to_each(page: Any) -> None:
    """The link of a row opens its run, and has the address that we would write."""
    for name in NAMES:
        page.go("#/runs")
        page.wait(f"document.querySelectorAll('.row a.name').length === {len(NAMES)}")
        href = page.tab.evaluate(
            "name => [...document.querySelectorAll('.row a.name')]"
            ".find((link) => link.textContent === name)?.getAttribute('href')",
            name,
        )
        page.go(href)
        page.wait(f"{TITLE}?.startsWith({name[:100]!r})")
        assert quote(name, safe="") == quote(urlsplit(href).fragment.split("/")[2], safe="%")


def test_a_link_opens_each_with_its_files(page: Any) -> None:
    """A page that is read anew shows the run, and its file can be saved and looked at."""
    for name in NAMES:
        page.reload(f"{address(name)}?tab=files")
        page.wait("document.querySelector('a[download]')")
        with page.tab.expect_download() as saved:
            page.tab.click("a[download]")
        assert "kept" == Path(saved.value.path()).read_text()


def test_what_is_typed_opens_each(page: Any) -> None:
    """A name with a question mark or a percent sign need not be quoted."""
    for name in ("what?", "100%", "a#b", "a,b", "größe-日本-🙂"):
        page.reload(f"#/run/{name}/{name}")
        page.wait(f"{TITLE} === {name!r}")


def test_each_can_be_chosen_and_compared(page: Any) -> None:
    """Chosen in the table, all of them are in the address, which shows the same once more."""
    page.go("#/runs")
    page.wait(f"document.querySelectorAll('.row a.name').length === {len(NAMES)}")
    for box in page.tab.locator(".row input.choose").all():
        box.check()
    page.wait(f"location.hash.split('~').length === {len(NAMES)}")
    chosen = "import('./static/state.js').then(({ chosen }) => chosen())"
    expected = {f"{name}/{name}" for name in NAMES}
    page.go(page.tab.evaluate("location.hash").replace("#/runs", "#/compare"))
    page.reload(page.tab.evaluate("location.hash"))
    page.wait(f"document.querySelectorAll('th a.name').length === {len(NAMES)}")

    assert expected == set(page.tab.evaluate(chosen))
    page.tab.evaluate("location.hash = location.hash.replace('#/compare', '#/curves')")
    page.wait(f"document.querySelectorAll('.pickrow.on').length === {len(NAMES)}")
    page.wait("document.querySelector('.card canvas') && !document.querySelector('.card.busy')")
