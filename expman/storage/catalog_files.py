"""The files of a catalog, `<base_dir>/.catalog/`: immutable tables, and a manifest that names them.

A new version of the catalog consists of new files and then of a new manifest, which replaces the
old one atomically. So a reader sees one version or the next one, a builder that is killed leaves
files that no manifest names, and of two builders the later one wins. Nothing is locked, because
the base directory may be on NFS.
"""

from __future__ import annotations

import contextlib
import os
import time

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from expman.errors import StorageError
from expman.failpoints import hit
from expman.storage.paths import CATALOG, create_temp, fsync_dir, replace_file, storage_error

__all__ = [
    "CATALOG",
    "KEEP_S",
    "MANIFEST",
    "Manifest",
    "PartFile",
    "catalog_path",
    "ensure_catalog_dir",
    "manifest_bytes",
    "new_name",
    "parse_manifest",
    "read_manifest",
    "remove_unnamed",
    "table_bytes",
    "write_manifest",
    "write_table",
]

MANIFEST = "manifest.json"
VERSION = 1
KEEP_RUNS_S = 600.0
"""How long a table of runs that no manifest names is kept: a reader may be about to open it."""
KEEP_S = 24 * 3600.0
"""The same of other files: a builder that takes long may be about to name them."""
_PREFIXES = ("runs-", "rows-")


class PartFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file with the rows of many runs of one experiment, whose columns are the same.

    Attributes:
        name: the file's name in the catalog.
        experiment: the experiment.
        columns: identifies the columns of its runs.
        runs: number of runs in it.
        rows: number of rows in it.
    """

    name: str
    experiment: str
    columns: str
    runs: int
    rows: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What the catalog consists of.

    Attributes:
        version: of the layout.
        made_at: seconds since the epoch.
        runs_file: the file with one row per run; "" if there is none.
        parts: the files with rows of runs.
    """

    version: int = VERSION
    made_at: float = 0.0
    runs_file: str = ""
    parts: tuple[PartFile, ...] = ()

    @property
    def names(self) -> set[str]:
        """The files that belong to it."""
        return {self.runs_file, *(part.name for part in self.parts)} - {""}


def catalog_path(base_dir: str, name: str = "") -> str:
    """Path of the catalog of a base directory, or of a file in it."""
    return os.path.join(base_dir, CATALOG, name) if name else os.path.join(base_dir, CATALOG)


def ensure_catalog_dir(base_dir: str) -> None:
    """Makes the catalog's directory if there is none.

    Raises:
        StorageError: it cannot be made.
    """
    path = catalog_path(base_dir)
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(path)
            fsync_dir(base_dir)
    except OSError as exc:
        raise storage_error(path, exc) from exc


def read_manifest(base_dir: str) -> Manifest | None:
    """Reads the manifest; None if there is no catalog, or one that this version cannot use."""
    try:
        with open(catalog_path(base_dir, MANIFEST), "rb") as file:
            return parse_manifest(file.read())
    except OSError:
        return None


def parse_manifest(data: bytes) -> Manifest | None:
    """Returns what a manifest says; None if this version cannot use it."""
    try:
        found = msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError:
        return None
    plain = all(name == os.path.basename(name) for name in found.names)
    return found if found.version == VERSION and plain else None


def manifest_bytes(manifest: Manifest) -> bytes:
    """Returns the content of a manifest."""
    return msgspec.json.encode(manifest)


def write_manifest(base_dir: str, manifest: Manifest) -> None:
    """Makes a new version of the catalog the current one.

    Durability: durable when it returns.

    Raises:
        StorageError: the catalog is as before.
    """
    hit("catalog-before-manifest")
    replace_file(catalog_path(base_dir, MANIFEST), manifest_bytes(manifest))
    hit("catalog-after-manifest")


def new_name(kind: str) -> str:
    """Returns a file name that no other builder takes; `kind` is "runs" or "rows"."""
    return f"{kind}-{os.urandom(8).hex()}.parquet"


def write_table(base_dir: str, name: str, table: pa.Table, *, group_rows: int) -> None:
    """Writes a file of the catalog.

    Durability: the content is durable when it returns; its name is with the manifest.

    Raises:
        StorageError: there is no such file.
    """
    path = catalog_path(base_dir, name)
    temp = None
    try:
        fd, temp = create_temp(catalog_path(base_dir))
        with os.fdopen(fd, "wb") as file:
            pq.write_table(
                table, file, compression="zstd", row_group_size=group_rows, store_schema=True
            )
            file.flush()
            os.fsync(file.fileno())
        hit("catalog-before-rename")
        os.rename(temp, path)
        temp = None
    except (OSError, pa.ArrowException) as exc:
        raise _error(path, exc) from exc
    finally:
        if temp is not None:
            with contextlib.suppress(OSError):
                os.unlink(temp)


def table_bytes(table: pa.Table, *, group_rows: int) -> bytes:
    """Returns the content of a file of a catalog."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", row_group_size=group_rows, store_schema=True)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _error(path: str, exc: BaseException) -> StorageError:
    return storage_error(path, exc)


def remove_unnamed(base_dir: str, manifest: Manifest, *, keep_s: float | None = None) -> None:
    """Removes files that the manifest does not name and that were not touched for `keep_s`.

    Younger ones may belong to a builder that works now, or to readers of the version before. If
    it is None, tables of runs are kept for ten minutes, and other files for a day.
    """
    directory, now = catalog_path(base_dir), time.time()
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            is_ours = entry.name.startswith((*_PREFIXES, ".expman-tmp-"))
            if not is_ours or entry.name in manifest.names:
                continue
            usual_s = KEEP_RUNS_S if entry.name.startswith("runs-") else KEEP_S
            oldest = now - (usual_s if keep_s is None else keep_s)
            with contextlib.suppress(OSError):
                if entry.stat(follow_symlinks=False).st_mtime < oldest:
                    os.unlink(entry.path)
