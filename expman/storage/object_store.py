"""Files below a URL of an object store (S3, Google Cloud Storage, Azure) or of a directory.

Everything goes through `pyarrow.fs`. An object appears whole or not at all, but in Azure is empty
for a moment when it is replaced. What fails in passing is tried again with growing pauses;
credentials that are refused are not.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode, urlsplit

import pyarrow as pa
import pyarrow.fs

from expman.checks import STORE_SCHEMES, shown_url
from expman.errors import ConfigError, StorageError
from expman.storage.paths import TEMP_PREFIX, open_regular

__all__ = ["ObjectStore", "StoredObject"]

PATIENCE_S = 120.0
"""For how long an operation is tried again."""
_SHORT_S = 2.0
"""The same after one that was given up."""
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 20.0
_EMPTY_TRIES, _EMPTY_S = 5, 0.2
_WHOLE_BYTES = 64 * 1024 * 1024
"""Files up to this size are read before the upload begins."""
_CHUNK_BYTES = 1024 * 1024
_FINAL = (
    *("ACCESS_DENIED", "AccessDenied", "Forbidden", "HTTP 403", "INVALID_ACCESS_KEY_ID"),
    *("InvalidAccessKeyId", "SIGNATURE_DOES_NOT_MATCH", "SignatureDoesNotMatch"),
    *("NO_SUCH_BUCKET", "NoSuchBucket", "does not exist", "INVALID_CLIENT_TOKEN_ID"),
    *("UNRECOGNIZED_CLIENT", "Unauthorized", "HTTP 401"),
)

_Answer = TypeVar("_Answer")


class StoredObject(NamedTuple):
    """An object as a listing shows it.

    Attributes:
        size: bytes.
        mtime_ns: when it was stored, by the store's clock.
    """

    size: int
    mtime_ns: int


class ObjectStore:
    """The objects below a URL. All calls may come from any thread.

    Args:
        url: `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://CONTAINER@ACCOUNT/PREFIX`, or
            `file:///PATH`. It may end with `?bandwidth=MB/S`, of S3 also with `region`,
            `endpoint_override`, `scheme` and `anonymous=true`, of Azure with `endpoint_override`
            and `scheme`. Credentials are those of the tools of each store.
        bandwidth: most bytes per second that are sent, over all threads; None for what the URL
            says.
        patience_s: for how long an operation that fails is tried again; None for PATIENCE_S.

    Raises:
        ConfigError: the URL cannot be understood, or pyarrow has no support for its scheme.
    """

    def __init__(
        self, url: str, *, bandwidth: float | None = None, patience_s: float | None = None
    ) -> None:
        self.url = shown_url(url).rstrip("/")
        self._patience_s = PATIENCE_S if patience_s is None else patience_s
        self._is_failing = False
        url, given = _without_bandwidth(url)
        self._pace = _Pace(given if bandwidth is None else bandwidth)
        self._ended = threading.Event()
        try:
            self._files, self._root = _open(url)
        except (pa.ArrowException, OSError, ValueError, TypeError, ImportError) as exc:
            raise ConfigError("url", self.url, f"cannot be used: {_first_line(exc)}") from None

    @property
    def lists_folders(self) -> bool:
        """Whether names can be listed without all objects below them.

        pyarrow shows a folder of Google Cloud Storage only if an object stands for it.
        """
        return str(self._files.type_name) != "gcs"

    def stop(self) -> None:
        """Ends all pauses between tries; operations that fail then are not tried again."""
        self._ended.set()

    # -- operations ---------------------------------------------------------------------

    def folders(self, prefix: str = "") -> list[str]:
        """Returns the names right below a prefix that have objects below them, without hidden ones.

        S3 and Azure answer with 1,000 names or more per request, however many objects they have.

        Raises:
            StorageError: the store cannot be reached, or refuses.
        """
        if not self.lists_folders:
            start = len(prefix) + 1 if prefix else 0
            below = (key[start:].split("/") for key in self.list(prefix))
            every = dict.fromkeys(parts[0] for parts in below if len(parts) > 1)
            return [name for name in every if not name.startswith(".")]
        selector = pyarrow.fs.FileSelector(self._path(prefix), allow_not_found=True)
        found = self._try(prefix, lambda: self._files.get_file_info(selector))
        names = (one.base_name for one in found if one.type == pyarrow.fs.FileType.Directory)
        return [name for name in names if not name.startswith(".")]

    def list(self, prefix: str = "") -> dict[str, StoredObject]:
        """Returns all objects below a prefix, by their keys.

        Raises:
            StorageError: the store cannot be reached, or refuses.
        """
        base = self._path(prefix)
        selector = pyarrow.fs.FileSelector(base, recursive=True, allow_not_found=True)
        found = self._try(prefix, lambda: self._files.get_file_info(selector))
        start = len(self._root) + 1
        return {
            one.path[start:]: StoredObject(one.size, one.mtime_ns or 0)
            for one in found
            if one.type == pyarrow.fs.FileType.File and not one.base_name.startswith(TEMP_PREFIX)
        }

    def put(self, key: str, path: str) -> tuple[int, int]:
        """Stores a file; returns its size and time in nanoseconds as they were when it was opened.

        Raises:
            FileNotFoundError: there is no such file any more.
            OSError: the file cannot be read.
            StorageError: the store cannot be reached, or refuses.
        """
        with os.fdopen(open_regular(path), "rb") as file:
            info = os.fstat(file.fileno())
            if info.st_size <= _WHOLE_BYTES:
                data = file.read(info.st_size)
                self.put_bytes(key, data)
                return len(data), info.st_mtime_ns

            def send() -> None:
                file.seek(0)
                self._write(key, _chunks(file, info.st_size))

            self._try(key, send)
            return info.st_size, info.st_mtime_ns

    def put_bytes(self, key: str, data: bytes) -> None:
        """Stores bytes.

        Raises:
            StorageError: the store cannot be reached, or refuses.
        """
        view = memoryview(data)
        pieces = range(0, len(view), _CHUNK_BYTES)
        self._try(key, lambda: self._write(key, (view[at : at + _CHUNK_BYTES] for at in pieces)))

    def _write(self, key: str, pieces: Iterator[memoryview | bytes]) -> None:
        path = self._path(key)
        if not isinstance(self._files, pyarrow.fs.LocalFileSystem):
            self._send(path, pieces)
            return
        folder = os.path.dirname(path)
        self._files.create_dir(folder, recursive=True)
        temp = f"{folder}/{TEMP_PREFIX}{os.urandom(8).hex()}"
        try:
            self._send(temp, pieces)
            self._files.move(temp, path)
        except BaseException:
            with contextlib.suppress(OSError):
                self._files.delete_file(temp)
            raise

    def _send(self, path: str, pieces: Iterator[memoryview | bytes]) -> None:
        with self._files.open_output_stream(path) as stream:
            for piece in pieces:
                self._pace.wait(len(piece))
                stream.write(piece)

    def read(self, key: str) -> bytes:
        """Returns the content of an object.

        Raises:
            FileNotFoundError: there is none.
            StorageError: the store cannot be reached, or refuses.
        """

        def receive() -> bytes:
            with self._files.open_input_stream(self._path(key)) as stream:
                data: bytes = stream.read()
                return data

        data = self._try(key, receive)
        if self._files.type_name == "abfs":
            # pyarrow replaces an object of Azure by an empty one first.
            for _ in range(_EMPTY_TRIES):
                if data:
                    break
                self._ended.wait(_EMPTY_S)
                data = self._try(key, receive)
        return data

    def delete(self, key: str) -> None:
        """Deletes an object, if it is there.

        Raises:
            StorageError: the store cannot be reached, or refuses.
        """
        with contextlib.suppress(FileNotFoundError):
            self._try(key, lambda: self._files.delete_file(self._path(key)))

    # -- trying -------------------------------------------------------------------------

    def _try(self, key: str, operation: Callable[[], _Answer]) -> _Answer:
        began = time.monotonic()
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                answer = operation()
            except FileNotFoundError:
                self._is_failing = False
                raise
            except (pa.ArrowException, OSError) as exc:
                text = str(exc)
                is_final = any(word in text for word in _FINAL)
                # A store that is away costs the patience once, and not for each of many runs.
                patience_s = min(self._patience_s, _SHORT_S if self._is_failing else math.inf)
                left_s = patience_s - (time.monotonic() - began)
                if is_final or left_s <= 0 or self._ended.is_set():
                    self._is_failing = True
                    where = f"{self.url}/{key}" if key else self.url
                    raise StorageError(where, _first_line(exc)) from None
                # Half of the pause by chance: many that failed together do not come back together.
                self._ended.wait(min(left_s, pause_s * random.uniform(0.5, 1.0)))
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                self._is_failing = False
                return answer

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}" if key else self._root


class _Pace:
    """Spreads what is sent, so that no more than so many bytes go out per second."""

    def __init__(self, bandwidth: float | None) -> None:
        self._bandwidth = bandwidth
        self._lock = threading.Lock()
        self._free_at = 0.0

    def wait(self, count: int) -> None:
        """Waits until so many bytes may be sent."""
        if self._bandwidth is None:
            return
        with self._lock:
            start = max(self._free_at, time.monotonic())
            self._free_at = start + count / self._bandwidth
        time.sleep(max(0.0, start - time.monotonic()))


def _without_bandwidth(url: str) -> tuple[str, float | None]:
    """Returns a URL without its option `bandwidth`, and that in bytes per second.

    Raises:
        ConfigError: it is not a number above 0.
    """
    base, _, query = url.partition("?")
    options = parse_qsl(query, keep_blank_values=True)
    rest = urlencode([(name, value) for name, value in options if name != "bandwidth"])
    found = dict(options).get("bandwidth")
    if found is None:
        return url, None
    try:
        megabytes = float(found)
    except ValueError:
        megabytes = 0.0
    if not 0 < megabytes < math.inf:
        raise ConfigError("bandwidth", found, "must be a number of megabytes per second, above 0")
    return f"{base}?{rest}" if rest else base, megabytes * 1e6


def _chunks(file: Any, size: int) -> Iterator[bytes]:
    left = size
    while left and (chunk := file.read(min(_CHUNK_BYTES, left))):
        left -= len(chunk)
        yield chunk


def _first_line(exc: BaseException) -> str:
    return str(exc).splitlines()[0] if str(exc) else type(exc).__name__


def _open(url: str) -> tuple[pyarrow.fs.FileSystem, str]:
    """Returns the file system of a URL, and the path in it."""
    parts = urlsplit(url)
    if parts.scheme not in STORE_SCHEMES:
        raise ValueError(f"must begin with one of {', '.join(s + '://' for s in STORE_SCHEMES)}")
    if parts.scheme == "s3":
        return _s3(parts.netloc, parts.path, parse_qs(parts.query))
    if parts.scheme == "az":
        return _azure(parts.netloc, parts.path, parse_qs(parts.query))
    files, root = pyarrow.fs.FileSystem.from_uri(url)
    return files, root.rstrip("/")


def _azure(where: str, path: str, query: dict[str, list[str]]) -> tuple[pyarrow.fs.FileSystem, str]:
    """`CONTAINER@ACCOUNT/PREFIX`, or `ACCOUNT.blob.core.windows.net/CONTAINER/PREFIX`."""
    container, _, account = where.rpartition("@")
    if not container and "." in account:
        container, _, path = path.strip("/").partition("/")
    elif not container:
        container, account = account, os.environ.get("AZURE_STORAGE_ACCOUNT", "")
    account = account.partition(".")[0]
    options: dict[str, Any] = {name: values[-1] for name, values in query.items()}
    if unknown := options.keys() - {"endpoint_override", "scheme"}:
        raise ValueError(f"has no option {', '.join(sorted(unknown))}")
    if not container or not account or ":" in where:
        raise ValueError("needs a container and an account: az://CONTAINER@ACCOUNT/PREFIX")
    given: dict[str, Any] = {}
    for kind in ("blob", "dfs"):
        if "endpoint_override" in options:
            given[f"{kind}_storage_authority"] = options["endpoint_override"]
        if "scheme" in options:
            given[f"{kind}_storage_scheme"] = options["scheme"]
    if key := os.environ.get("AZURE_STORAGE_KEY"):
        given["account_key"] = key
    elif token := os.environ.get("AZURE_STORAGE_SAS_TOKEN"):
        given["sas_token"] = token
    files = pyarrow.fs.AzureFileSystem(account, **given)
    return files, f"{container}/{path.strip('/')}".rstrip("/")


def _s3(bucket: str, path: str, query: dict[str, list[str]]) -> tuple[pyarrow.fs.FileSystem, str]:
    credentials, at, bucket = bucket.rpartition("@")
    options: dict[str, Any] = {name: values[-1] for name, values in query.items()}
    known = {"region", "endpoint_override", "scheme", "anonymous"}
    if unknown := options.keys() - known:
        raise ValueError(f"has no option {', '.join(sorted(unknown))}")
    if at:
        access, _, secret = credentials.partition(":")
        options |= {"access_key": unquote(access), "secret_key": unquote(secret)}
    options["anonymous"] = options.get("anonymous") in ("1", "true")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint and "endpoint_override" not in options:
        options["scheme"], _, options["endpoint_override"] = endpoint.rpartition("://")
        options["scheme"] = options["scheme"] or "https"
    if not bucket:
        raise ValueError("needs a bucket: s3://BUCKET/PREFIX")
    options |= {"connect_timeout": 10, "request_timeout": 30}
    options["retry_strategy"] = pyarrow.fs.AwsStandardS3RetryStrategy(max_attempts=2)
    try:  # a small object is one request then, and not the three of an upload in parts
        files = pyarrow.fs.S3FileSystem(**options, allow_delayed_open=True)
    except TypeError:  # pyarrow 18
        files = pyarrow.fs.S3FileSystem(**options)
    return files, f"{bucket}/{path.strip('/')}".rstrip("/")
