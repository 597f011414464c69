"""Changes that the page makes: a run's description, tags and notes, and its end in the bin."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from expman.dashboard.context import Context, json_answer, refuse
from expman.deletion import NotDeletedError, delete
from expman.reading.notes import read_notes
from expman.reading.run import Run
from expman.storage.run_edits import Edit, edit_run, write_notes
from expman.transport.recovery_lock import recovery_lock

__all__ = ["remove", "update"]


class _Wanted(msgspec.Struct, forbid_unknown_fields=True):
    description: str | None | msgspec.UnsetType = msgspec.UNSET
    tags: list[str] | msgspec.UnsetType = msgspec.UNSET
    notes: str | None | msgspec.UnsetType = msgspec.UNSET


def update(context: Context, request: Request, body: bytes) -> Response:
    """Answers PATCH `api/run?run=E/R`."""
    run_dir = context.run_dir(request)
    try:
        wanted = msgspec.json.decode(body, type=_Wanted)
    except (msgspec.MsgspecError, UnicodeError) as exc:
        refuse(400, f"This change cannot be understood: {exc}.")
    is_taken = True
    if wanted.notes is not msgspec.UNSET:
        write_notes(run_dir, wanted.notes or "")
    edit = Edit(wanted.description, wanted.tags)
    if edit != Edit():
        is_taken = edit_run(run_dir, edit, recovery_lock)
    context.find(request.query_params["run"])
    answer: dict[str, object] = {"pending": not is_taken, "notes": read_notes(run_dir)}
    if not is_taken:
        answer["why"] = (
            "The run's writer has not taken the change yet; it is kept, and will be taken by the "
            "writer or by `expman recover`."
        )
    return json_answer(answer, 200 if is_taken else 202)


def remove(context: Context, request: Request, body: bytes) -> Response:
    """Answers DELETE `api/run?run=E/R`."""
    run_dir = context.run_dir(request)
    try:
        delete(Run(run_dir))
    except NotDeletedError as exc:
        return json_answer({"error": f"The run {exc.why}."}, 409)
    context.catalog.scan()
    return json_answer({"deleted": True})
