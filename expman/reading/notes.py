"""The notes on a run, which people write beside what was recorded."""

from __future__ import annotations

import os

from expman.storage.paths import NOTES_MD, read_regular

__all__ = ["MAX_NOTES_BYTES", "read_notes"]

MAX_NOTES_BYTES = 1 << 20


def read_notes(run_dir: str, most_characters: int | None = None) -> str | None:
    """Returns the text of notes.md, or its beginning; None if there is none, or it is unreadable.

    Args:
        run_dir: the run's directory.
        most_characters: only so many; one more shows that there are more.
    """
    most = MAX_NOTES_BYTES if most_characters is None else 4 * (most_characters + 1)
    try:
        data = read_regular(os.path.join(run_dir, NOTES_MD), most_bytes=most)
    except OSError:
        return None
    text = data.decode("utf-8", "replace")
    return text if most_characters is None else text[: most_characters + 1]
