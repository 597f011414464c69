"""Changes of a run's description and tags that another process wants: a page, for example.

Only the writer of a live run writes its run.yaml. So a change is a request: a file, `.edit.json`,
put there by a rename. Whoever writes run.yaml renames it to `.edit-taken.json`, changes run.yaml,
and removes it then. If he is killed in between, his successor, or `recover`, does the same once
more, which changes nothing. Of a run that has ended, the process that asks does it all itself,
while it holds the run's recovery lock: the next attempt may begin at any moment.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from expman.errors import ConfigError, StorageError
from expman.models import RunStatus, safe_text
from expman.storage.paths import (
    EDIT_JSON,
    EDIT_TAKEN_JSON,
    NOTES_MD,
    RUN_JOURNAL,
    RUN_YAML,
    read_regular,
    replace_file,
    storage_error,
)
from expman.storage.yamlfile import OneLine, read_yaml, write_yaml

__all__ = [
    "Edit",
    "Hold",
    "ask",
    "edit_run",
    "has_ended",
    "note_mirrored",
    "remove_taken",
    "take_edit",
    "take_late_changes",
    "waits",
    "write_notes",
]

MAX_TEXT = 100_000
MAX_TAGS = 1000
MAX_TAG = 1000
MAX_NOTES_BYTES = 1 << 20
MAX_EDIT_BYTES = 8 << 20
WAIT_S = 5.0
"""How long a writer may take: it looks once a second."""
_POLL_S = 0.05
_NAMES = (EDIT_TAKEN_JSON, EDIT_JSON)

Hold = Callable[[str], AbstractContextManager[bool]]
"""Holds a directory's recovery lock for a block, which gets whether it does."""


class Edit(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A change; what is UNSET stays.

    Attributes:
        description: the new one; None: the run has none.
        tags: all tags that the run has then.
        pruned: why a live run is ended early: it is FINISHED then, however its process ends.
    """

    description: str | None | msgspec.UnsetType = msgspec.UNSET
    tags: list[str] | msgspec.UnsetType = msgspec.UNSET
    pruned: str | msgspec.UnsetType = msgspec.UNSET

    def check(self) -> None:
        """Checks the values.

        Raises:
            ConfigError: one cannot be stored.
        """
        if isinstance(self.description, str) and len(self.description) > MAX_TEXT:
            raise ConfigError("description", "…", f"has more than {MAX_TEXT:,} characters")
        if isinstance(self.tags, list):
            if len(self.tags) > MAX_TAGS:
                raise ConfigError("tags", "…", f"a run has at most {MAX_TAGS:,} tags")
            for tag in self.tags:
                if not tag.strip() or len(tag) > MAX_TAG:
                    rule = f"a tag has one to {MAX_TAG:,} characters, and not only blanks"
                    raise ConfigError("tags", tag[:100], rule)

    def changes(self) -> dict[str, Any]:
        """The keys of run.yaml that change."""
        found: dict[str, Any] = {}
        if self.description is not msgspec.UNSET:
            found["description"] = self.description and safe_text(self.description)
        if self.tags is not msgspec.UNSET:
            found["tags"] = list(dict.fromkeys(map(safe_text, self.tags))) or None
        if self.pruned is not msgspec.UNSET:
            found["pruned"] = safe_text(self.pruned)
        return found


# -- who writes run.yaml --------------------------------------------------------------------


def waits(run_dir: str) -> bool:
    """Returns whether a change was asked for that is not in run.yaml for good."""
    return any(os.path.lexists(os.path.join(run_dir, name)) for name in _NAMES)


def take_edit(run_dir: str) -> Edit | None:
    """Takes the change that is asked for; None if there is none.

    Take it again after a kill: it is there until `remove_taken`.

    Raises:
        StorageError: what was asked for cannot be understood; it is removed.
    """
    taken, asked = (os.path.join(run_dir, name) for name in _NAMES)
    if os.path.lexists(taken) and os.path.lexists(asked):  # of a writer that was killed
        replace_file(asked, msgspec.json.encode(_merged(_read(taken), _read(asked))))
        os.unlink(taken)
    if os.path.lexists(asked):
        with contextlib.suppress(FileNotFoundError):
            os.rename(asked, taken)
    return _read(taken) if os.path.lexists(taken) else None


def take_late_changes(run_dir: str) -> dict[str, Any]:
    """As `take_edit`, of a run that has ended by itself: what would end it early is left out.

    Raises:
        StorageError: as in `take_edit`.
    """
    edit = take_edit(run_dir)
    changes = {} if edit is None else edit.changes()
    changes.pop("pruned", None)
    return changes


def remove_taken(run_dir: str) -> None:
    """Removes the change that was taken, once run.yaml has it."""
    with contextlib.suppress(OSError):
        os.unlink(os.path.join(run_dir, EDIT_TAKEN_JSON))


def _read(path: str) -> Edit:
    try:
        data = read_regular(path, most_bytes=MAX_EDIT_BYTES + 1)
        edit = msgspec.json.decode(data, type=Edit)
        edit.check()
    except (OSError, msgspec.MsgspecError, UnicodeError, ConfigError) as exc:
        with contextlib.suppress(OSError):
            os.unlink(path)
        if isinstance(exc, OSError):
            raise storage_error(path, exc) from exc
        raise StorageError(path, f"is not a change of a run: {exc}") from exc
    return edit


def _merged(first: Edit, later: Edit) -> Edit:
    fields = {
        name: getattr(later if getattr(later, name) is not msgspec.UNSET else first, name)
        for name in Edit.__struct_fields__
    }
    return Edit(**fields)


# -- who asks -------------------------------------------------------------------------------


def edit_run(run_dir: str, edit: Edit, hold: Hold, *, wait_s: float = WAIT_S) -> bool:
    """Changes how a run is described.

    Args:
        run_dir: the run's directory.
        edit: the change.
        hold: `transport.recovery_lock`.
        wait_s: how long to wait for the run's writer.

    Returns:
        False: the run's writer has not taken it so far. It, its successor or `recover` will.

    Durability: durable when it returns, as a request at least.

    Raises:
        ConfigError: a value cannot be stored.
        StorageError: a file cannot be written; nothing has changed.
    """
    edit.check()
    if not _is_ours(run_dir) and _status(run_dir) is RunStatus.RUNNING:
        path = os.path.join(run_dir, RUN_YAML)
        raise StorageError(path, "is written by expman-rs; change it when the run has ended")
    ask(run_dir, edit)
    deadline = time.monotonic() + wait_s
    while waits(run_dir):
        if has_ended(run_dir) and _apply(run_dir, hold):
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)
    return True


def ask(run_dir: str, edit: Edit) -> None:
    """Asks whoever writes run.yaml for a change, and waits for nobody.

    Durability: durable when it returns, as a request.

    Raises:
        StorageError: it cannot be written.
    """
    asked = os.path.join(run_dir, EDIT_JSON)
    if os.path.lexists(asked):
        with contextlib.suppress(StorageError):
            edit = _merged(_read(asked), edit)
    replace_file(asked, msgspec.json.encode(edit))


def has_ended(run_dir: str) -> bool:
    """Returns whether nobody writes run.yaml any more: its writer removes the journal last."""
    if os.path.lexists(os.path.join(run_dir, RUN_JOURNAL)):
        return False
    return _status(run_dir) is not RunStatus.RUNNING


def _apply(run_dir: str, hold: Hold) -> bool:
    """Makes the change; False if another process writes run.yaml, or the run goes on."""
    with _held(run_dir, hold) as is_held:
        if not is_held or not has_ended(run_dir):
            return False
        if changes := take_late_changes(run_dir):
            _change(run_dir, changes)
        remove_taken(run_dir)
        return True


@contextlib.contextmanager
def _held(run_dir: str, hold: Hold) -> Iterator[bool]:
    """Keeps recoveries and the begin of the next attempt out; it gets whether it does."""
    with contextlib.ExitStack() as stack:
        try:
            is_held = stack.enter_context(hold(os.path.realpath(run_dir)))
        except OSError as exc:
            raise storage_error(run_dir, exc) from exc
        yield is_held


def note_mirrored(run_dir: str, url: str, hold: Hold) -> bool:
    """Notes in run.yaml of a run that has ended that nothing waits to be copied any more.

    Args:
        run_dir: the run's directory.
        url: where it was copied to.
        hold: `transport.recovery_lock`.

    Returns:
        Whether it had counted something, and nobody goes on with the run.

    Raises:
        StorageError: run.yaml is as before.
    """
    found = read_yaml(os.path.join(run_dir, RUN_YAML), dates=False)
    is_there = str(found.get("mirror")).rstrip("/") == url.rstrip("/")
    if not found.get("mirror_behind") or not is_there:
        return False
    with _held(run_dir, hold) as is_held:
        if not is_held or not has_ended(run_dir):
            return False
        _change(run_dir, {"mirror_behind": 0})
        return True


def _change(run_dir: str, changes: dict[str, Any]) -> None:
    path = os.path.join(run_dir, RUN_YAML)
    found = read_yaml(path, dates=False) | changes
    best = found.get("best")
    if isinstance(best, Mapping):
        found["best"] = {
            name: OneLine(numbers) if isinstance(numbers, Mapping) else numbers
            for name, numbers in best.items()
        }
    earlier = found.get("earlier_attempts")
    if isinstance(earlier, list):
        found["earlier_attempts"] = [
            OneLine(one) if isinstance(one, Mapping) else one for one in earlier
        ]
    write_yaml(path, found, check=True)


def _status(run_dir: str) -> RunStatus:
    path = os.path.join(run_dir, RUN_YAML)
    try:
        return RunStatus.parse(str(read_yaml(path, dates=False).get("status")))
    except ValueError as exc:
        raise StorageError(path, str(exc)) from exc


def _is_ours(run_dir: str) -> bool:
    return "rows_logged" in read_yaml(os.path.join(run_dir, RUN_YAML), dates=False)


def write_notes(run_dir: str, text: str) -> None:
    """Replaces notes.md, which no writer touches; without a text it is removed.

    Durability: durable when it returns.

    Raises:
        ConfigError: the text is too long.
        StorageError: the file is as before.
    """
    path = os.path.join(run_dir, NOTES_MD)
    data = safe_text(text).encode()
    if len(data) > MAX_NOTES_BYTES:
        raise ConfigError("notes", "…", f"have more than {MAX_NOTES_BYTES:,} bytes")
    if data:
        replace_file(path, data)
        return
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    except OSError as exc:
        raise storage_error(path, exc) from exc
