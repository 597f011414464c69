"""`expman ui` and `expman report` as a user types them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from page_client import Browser

pytest.importorskip("click")

DEADLINE_S = 120.0
PLAIN = {name: value for name, value in os.environ.items() if not name.startswith("SSH_")}


def expman(*arguments: str, without: str = "", cwd: Path | None = None) -> tuple[int, str, str]:
    """Runs the command, without a package; returns exit code, stdout, stderr."""
    code = "import sys\n"
    if without:
        code += f"sys.modules[{without!r}] = None\n"
    code += "from expman.cli import main\nsys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env=PLAIN,
        cwd=cwd,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_the_page_opens_and_ends(base: Path, end: signal.Signals) -> None:
    """One line has the address; a signal ends it without a word, whoever still listens."""
    server = subprocess.Popen(
        [sys.executable, "-m", "expman.cli", "ui", str(base), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=PLAIN,
    )
    assert server.stdout is not None
    try:
        address = urlsplit(server.stdout.readline().strip())
        assert address.port is not None
        browser = Browser(address.port)
        answer = browser.ask(f"/?{address.query}")
        browser.cookie = answer.headers["set-cookie"].partition(";")[0]
        assert str(base) == browser.ask("/api/info").json["base_dir"]
        assert "runs" == next(browser.events("/api/events"))[0]
    finally:
        server.send_signal(end)
        rest, errors = server.communicate(timeout=DEADLINE_S)

    assert ("", "") == (rest, errors)
    assert server.returncode in (0, 130, -end)


def test_what_is_missing_is_named(base: Path) -> None:
    """One line says what to install."""
    for command, package in (("ui", "uvicorn"), ("report", "starlette")):
        code, out, err = expman(command, str(base), without=package)
        assert (1, "") == (code, out)
        assert f"needs {package}, which is not installed" in err
        assert "pip install 'expman-sidecar[ui]'" in err
        assert 1 == err.count("\n")


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    """A misuse, in a sentence."""
    code, _, err = expman("ui", str(tmp_path / "nothing"))

    assert 2 == code
    assert "nothing: there is no such directory" in err


def test_a_report(base: Path, tmp_path: Path) -> None:
    """Runs or experiments by name; the file is there whole or not at all."""
    code, out, err = expman(
        "report", "exp", "exp/one", "-d", str(base), "-o", "r.html", cwd=tmp_path
    )

    assert (0, "") == (code, err)
    assert out.startswith("r.html  (1 run, ")
    assert (tmp_path / "r.html").read_bytes().endswith(b"</body>\n</html>\n")
    assert ["r.html"] == [name for name in os.listdir(tmp_path) if "html" in name]

    code, _, err = expman("report", "exp", "-d", str(base), "-o", str(tmp_path / "no" / "r.html"))
    assert 1 == code
    assert "cannot write" in err
