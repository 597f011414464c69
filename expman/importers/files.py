"""Files of an imported run: media, and artifacts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

from expman.importers.report import Report
from expman.models import safe_text
from expman.storage.media_index import MediaIndex, MediaNote, media_name
from expman.storage.paths import (
    ARTIFACTS,
    MEDIA,
    IrregularFileError,
    open_regular,
    replace_file,
    storage_error,
)

__all__ = ["ImportedFiles", "files_below", "inside"]

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpg"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
)
_MOST_BYTES = 2**31


class ImportedFiles:
    """Takes files into a run's directory. What is no plain file is left out and counted."""

    def __init__(self, run_dir: str, report: Report) -> None:
        self._run_dir = run_dir
        self._report = report
        self._index = MediaIndex(run_dir)
        self._media = 0

    def add_image(self, step: int | None, time_ns: int, tag: str, data: bytes) -> None:
        """Takes an encoded picture; its first bytes say of which kind."""
        extension = next((name for start, name in _MAGIC if data.startswith(start)), None)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            extension = "webp"
        if extension is None:
            self._report.leave_out("images of an unknown kind")
            return
        self.add_medium("image", step, time_ns, tag, extension, data)

    def add_medium(
        self, kind: str, step: int | None, time_ns: int, tag: str, extension: str, data: bytes
    ) -> None:
        """Takes a picture, a sound, a video, a text or a table.

        Raises:
            StorageError: the disk cannot take it.
        """
        number = f"0-{self._media:x}"
        name = media_name(safe_text(tag), step, extension, number)
        directory = os.path.join(self._run_dir, MEDIA)
        if not self._media:
            os.mkdir(directory)
        self._media += 1
        replace_file(os.path.join(directory, name), data, sync=False)
        note = MediaNote(
            kind=kind,
            tag=safe_text(tag),
            step=step,
            producer="main",
            extension=extension,
            pixels=None,
            size=len(data),
            timestamp_ns=time_ns,
        )
        self._index.add(note, number, f"{MEDIA}/{name}", len(data), sync=False)

    def add_medium_file(
        self, kind: str, step: int | None, time_ns: int, tag: str, path: str
    ) -> None:
        """Takes one that is in a file of the source; one that is not there is counted."""
        extension = os.path.splitext(path)[1].lstrip(".").lower()
        try:
            with os.fdopen(open_regular(path), "rb") as file:
                data = file.read(_MOST_BYTES)
        except OSError:
            self._report.leave_out(f"files of {kind}s that are not there")
            return
        self.add_medium(kind, step, time_ns, tag, extension, data)

    def add_artifact(self, name: str, path: str, *, follow: bool = False) -> None:
        """Copies a file to artifacts/ under a relative name, or counts what hinders.

        Args:
            name: with "/"; what would lead out of artifacts/ is left out of it.
            path: of the file.
            follow: also take what a symbolic link leads to.

        Raises:
            StorageError: the disk cannot take it.
        """
        parts = [part for part in safe_text(name).split("/") if part not in ("", ".", "..")]
        parts = [part.replace("\0", "_")[:200] for part in parts]
        if not parts:
            self._report.leave_out("files without a name")
            return
        target = os.path.join(self._run_dir, ARTIFACTS, *parts)
        try:
            source = os.fdopen(open_regular(path, follow=follow), "rb")
        except (IrregularFileError, OSError):
            self._report.leave_out("files that are not there or not plain files")
            return
        with source:
            try:
                os.makedirs(os.path.dirname(target), exist_ok=True)
                if os.path.lexists(target):
                    self._report.leave_out("files whose name another file has")
                    return
                with open(target, "xb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
                times = os.fstat(source.fileno())
                os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
            except (FileExistsError, NotADirectoryError):
                self._report.leave_out("files whose name another file has")
            except OSError as exc:
                raise storage_error(target, exc) from exc
        if name != "/".join(parts):
            self._report.rename(name, "/".join(parts))

    def finish(self) -> None:
        """Makes the index durable.

        Raises:
            StorageError: it is not.
        """
        if self._media:
            self._index.sync()
            self._index.close()


def files_below(directory: str) -> Iterator[tuple[str, str]]:
    """Relative names, with "/", and paths of the files below a directory; no link is followed."""
    for folder, folders, names in os.walk(directory):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            yield os.path.relpath(path, directory).replace(os.sep, "/"), path


def inside(directory: str, relative: str) -> str | None:
    """The path of a file that a source names; None if it would be outside of its directory."""
    if "\0" in relative or os.path.isabs(relative):
        return None
    path = os.path.normpath(os.path.join(directory, relative))
    top = os.path.realpath(directory)
    real = os.path.realpath(path)
    return path if real == top or real.startswith(top + os.sep) else None
