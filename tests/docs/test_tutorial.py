"""docs/learn/tutorial.md as a fresh user would follow it, and the pages of the command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

click = pytest.importorskip("click")

ROOT = Path(__file__).resolve().parents[2]
PNG = b"\x89PNG\r\n\x1a\n"
_BLOCK = re.compile(r"^```(?P<info>python|console)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.timeout(900)
def test_the_tutorial_from_top_to_bottom(tmp_path: Path) -> None:
    """Each block works in its turn, and at the end there is a picture of both runs."""
    page = (ROOT / "docs" / "learn" / "tutorial.md").read_text()
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    env |= {"MPLCONFIGDIR": str(tmp_path / ".matplotlib"), "COLUMNS": "80", "EXPMAN_QUIET": "1"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    said = {}
    for block in _BLOCK.finditer(page):
        if block["info"] == "python":
            (tmp_path / "train.py").write_text(block["code"])
            continue
        for command in re.findall(r"^\$ (.*)$", block["code"], re.MULTILINE):
            if command.startswith("pip install"):
                assert re.search(r"expman-sidecar\[(\w+)\]", command)[1] in extras  # type: ignore[index]
                continue
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=tmp_path,
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=250,
                check=False,
            )
            assert (0, "") == (done.returncode, done.stderr), command
            said[re.sub(r"\$\(.*\)", "…", command)] = done.stdout
    last_block = [sys.executable, "train.py"]
    subprocess.run(last_block, cwd=tmp_path, env=env, check=True, timeout=250)

    assert 2 == said["expman ls"].count("FINISHED")
    assert "ended at x" in said["expman tail latest -n 3"]
    assert "loss (log scale)" in said["expman plot latest loss --log"]
    assert re.search(r"lr +0\.03 +0\.01", said["expman compare …"])
    assert PNG == (tmp_path / "compare.png").read_bytes()[:8]


def test_the_command_page_has_every_help_text() -> None:
    """docs/reference/command.md has a section for each subcommand, with the text of its --help."""
    from expman.cli.commands import commands

    page = (ROOT / "docs" / "reference" / "command.md").read_text()
    block = re.compile(r"^## (\S+)\n\n```text\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
    sections = dict(block.findall(page))

    assert sorted(commands()) == sorted(sections)
    for name, command in commands().items():
        context = click.Context(
            command, info_name=f"expman {name}", help_option_names=["-h", "--help"]
        )
        assert command.get_help(context).split() == sections[name].split(), name


def test_the_screens_show_commands_that_exist() -> None:
    """Each command of docs/learn/screens.md is one."""
    from expman.cli.commands import commands

    page = (ROOT / "docs" / "learn" / "screens.md").read_text()
    shown = re.findall(r"^\$ expman (\w+)", page, re.MULTILINE)

    assert {"ls", "show", "tail", "plot", "compare", "doctor"} <= set(shown)
    assert set(shown) <= set(commands())
