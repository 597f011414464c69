"""The page of errors: every message on it is what the code says today."""

from __future__ import annotations

import sys
from pathlib import Path

from expman import current_run, errors

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "errors.md"


def test_the_page_has_the_messages_that_the_code_raises(monkeypatch) -> None:
    """`scripts/reference` writes it anew."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from error_messages import errors_page

    sys.modules.pop("error_messages")
    current_run.end_current()  # of a test that this process has run before
    assert PAGE.read_text() == errors_page()


def test_every_error_has_its_section() -> None:
    """Each class of the package, and Python's own that a user meets."""
    text = PAGE.read_text()
    names = {*errors.__all__, "TypeError", "ValueError"} - {"ExpmanError"}
    assert [] == [name for name in sorted(names) if f"\n## {name}\n" not in text]
