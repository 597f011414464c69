"""Changes that are asked for: each is made, whoever is killed while it is taken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from unit.reading.run_files import make_run

from expman.storage import run_edits
from expman.storage.run_edits import Edit, ask, take_edit


@pytest.mark.parametrize("killed_at", ["unlink", "rename", None])
def test_a_change_that_comes_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: str | None
) -> None:
    """A writer took the first one and was killed; its successor, which has two, is killed, too."""
    run_dir = str(make_run(tmp_path))
    ask(run_dir, Edit(tags=["a"]))
    assert Edit(tags=["a"]) == take_edit(run_dir)
    ask(run_dir, Edit(description="d"))
    if killed_at is None:
        take_edit(run_dir)
    else:

        def kill(*paths: str) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(run_edits.os, killed_at, kill)
            with pytest.raises(KeyboardInterrupt):
                take_edit(run_dir)
    assert Edit(tags=["a"], description="d") == take_edit(run_dir)
    assert [".edit-taken.json"] == [name for name in os.listdir(run_dir) if "edit" in name]
