"""The command line of expman-writer: messages for wrong usage."""

from __future__ import annotations

import pytest

from expman.writer.main import main


@pytest.mark.parametrize(
    ("given", "is_about_the_mark"),
    [
        (["run", "--experiment", "prepare", "./prepare.sh", "--all"], True),
        (["run", "--experimnt", "prepare", "--", "./prepare.sh"], False),
        (["--bse-dir=experiments"], False),
    ],
)
def test_a_command_without_its_mark_is_explained(
    given: list[str], is_about_the_mark: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """`run COMMAND` gets the advice to put -- before it; other wrong arguments do not."""
    with pytest.raises(SystemExit) as caught:
        main(given)
    assert 2 == caught.value.code
    message = capsys.readouterr().err
    assert "unrecognized arguments" in message
    assert is_about_the_mark == ("put -- before the command" in message)
