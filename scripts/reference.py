"""Makes what follows from the code in the pages of the reference: settings, names, help texts.

`tests/docs/test_reference.py` compares the pages with what is made here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
from api_names import with_names
from error_messages import errors_page

from expman.cli.commands import commands
from expman.setting import Setting
from expman.settings import SETTINGS

PAGES = Path(__file__).resolve().parents[1] / "docs" / "reference"
_TABLE = re.compile(r"(?<=<!-- begin: settings -->\n).*?(?=<!-- end: settings -->)", re.DOTALL)
_HELP = re.compile(r"^## (\S+)\n\n```text\n.*?\n```$", re.MULTILINE | re.DOTALL)


def main() -> None:
    """Rewrites what is made; the words around it stay."""
    for name, make in (
        ("settings.md", with_settings),
        ("command.md", with_help),
        ("api.md", with_names),
    ):
        path = PAGES / name
        path.write_text(make(path.read_text()))
        print(f"wrote {path}")
    (PAGES / "errors.md").write_text(errors_page())
    print(f"wrote {PAGES / 'errors.md'}")


def with_settings(page: str) -> str:
    """The page with a row for each setting, in the order of the arguments."""
    head = "| setting and variable | type | default | meaning |\n|---|---|---|---|\n"
    rows = "".join(_row(setting) + "\n" for setting in SETTINGS.values())
    return _TABLE.sub(lambda _: f"\n{head}{rows}\n", page)


def with_help(page: str) -> str:
    """The page with the help of each subcommand, below its heading."""
    texts = {name: help_text(name) for name in commands()}
    return _HELP.sub(lambda found: f"## {found[1]}\n\n```text\n{texts[found[1]]}\n```", page)


def help_text(name: str) -> str:
    """What `expman NAME --help` prints in a terminal of 100 columns."""
    command = commands()[name]
    context = click.Context(
        command,
        info_name=f"expman {name}",
        help_option_names=["-h", "--help"],
        terminal_width=92,
        max_content_width=92,
    )
    return command.get_help(context)


def _row(setting: Setting) -> str:
    meaning = setting.meaning
    if setting.recorded:
        meaning += f" Recorded in {_recorded(setting.recorded)}."
    names = [setting.name, setting.variable] if setting.variable else [setting.name]
    cells = (
        "<br>".join(f"`{name}`" for name in names),
        " or ".join(f"`{kind}`" for kind in setting.type.split(" | ")),
        _default(setting.default),
        meaning.replace("|", "\\|"),
    )
    return f"| {' | '.join(cells)} |"


def _default(value: Any) -> str:
    """The default as one writes it; nothing where the meaning says what counts."""
    if value is None or value == "":
        return ""
    if isinstance(value, int):
        mib = value >> 20
        return f"`{int(value)}`" + (f" ({mib} MiB)" if mib else "")
    if isinstance(value, str):  # the interpreter's path differs on each machine
        return "" if "/" in value else f"`{str(value)!r}`"
    return f"`{tuple(value)!r}`"


def _recorded(text: str) -> str:
    places = []
    for place in text.split("; "):
        file, _, key = place.partition(": ")
        name, _, more = key.partition(" ")
        places.append(f"`{file}`: `{name}` {more}".strip() if key else f"the name of a {file}")
    return ", ".join(places)


if __name__ == "__main__":
    main()
