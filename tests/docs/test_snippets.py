"""README.md and docs/ against the truth: their Python runs, their links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import UNASKED

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
DEADLINE_S = 250

_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<code>.*?)^```[ ]*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)|<img [^>]*src=\"(?P<image>[^\"]+)\"")


def blocks(text: str) -> list[tuple[int, str, str]]:
    """Finds the fenced blocks: the line of the first code line, the info string, the code."""
    return [
        (text.count("\n", 0, match.start("code")) + 1, match["info"].strip(), match["code"])
        for match in _FENCE.finditer(text)
    ]


def script(text: str) -> str:
    """Joins the Python blocks of a page, each on the lines where it stands in the page."""
    lines: list[str] = []
    for line, info, code in blocks(text):
        if info == "python":
            lines += [""] * (line - 1 - len(lines))
            lines += code.splitlines()
    return "\n".join(lines)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize(
    "page", [page for page in PAGES if script(page.read_text()).strip()], ids=name_of
)
def test_python_of_a_page_runs_from_top_to_bottom(page: Path, tmp_path: Path) -> None:
    """Whoever pastes a page's Python blocks, one after the other, sees them work."""
    # The program stands under the page's name, so that a traceback points into the page.
    code = f"exec(compile({script(page.read_text())!r}, {name_of(page)!r}, 'exec'))"

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={
            # With what an Experiment records unasked: pages speak of the defaults.
            **{name: value for name, value in os.environ.items() if name not in UNASKED},
            # Python 3.12 and newer warn of every fork in a process with threads.
            "PYTHONWARNINGS": "error,ignore:This process:DeprecationWarning",
            "EXPMAN_QUIET": "1",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )

    assert (0, "") == (done.returncode, done.stderr), done.stdout


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_python_block_is_exempt(page: Path) -> None:
    """A Python block carries no word that would keep it from being run."""
    infos = {info for _, info, _ in blocks(page.read_text())}

    assert {info for info in infos if info.lower().startswith("py")} <= {"python"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_inside_the_project_lead_to_files(page: Path) -> None:
    """Every relative link of a page names a file or a directory that is there."""
    targets = (match["target"] or match["image"] for match in _LINK.finditer(page.read_text()))
    local = [target for target in targets if not re.match(r"[a-z]+:|#", target)]

    missing = [target for target in local if not (page.parent / target.split("#")[0]).exists()]

    assert [] == missing


def test_changelog_names_the_version() -> None:
    """The version of pyproject.toml has its section in the changelog."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert f"## [{version}]" in (ROOT / "docs" / "changelog.md").read_text()


def test_commands_of_the_readme_exist() -> None:
    """Each scripts/… that the README tells the reader to run is there and executable."""
    commands = set(re.findall(r"\bscripts/\w+", (ROOT / "README.md").read_text()))

    assert commands
    assert [] == [name for name in commands if not os.access(ROOT / name, os.X_OK)]
