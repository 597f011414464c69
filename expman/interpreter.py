"""Starts our own processes: the interpreter, and the trainer's packages in good order.

**Which interpreter.** `sys.executable` need not be one: in a frozen application, or where a
program embeds Python, it is that program, which would start itself again and again. So only what
has an interpreter's name is started, or what the user names.

**Which packages.** The writer gets the trainer's `sys.path`, for a trainer may have found its
packages in ways that a child does not know: PYTHONPATH under other options, directories that it
added itself, a zip file. What may hold anything, the working directory and the script's, comes
last: a `yaml.py` there must not stand in for the real one. expman itself comes from where the
trainer has it, whatever else has that name. The path is the child's standard input: it may be
longer than an argument or the environment can be.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator

from expman.errors import ConfigError

__all__ = ["VARIABLE", "find_python", "start_relay", "start_writer"]

VARIABLE = "EXPMAN_PYTHON"
# The package's own names are for programs: our processes take its modules and nothing else. msgspec
# would take up typing_extensions, where it is installed, for what `typing` has (10 ms).
_CODE = """\
import os, sys
with open(0, "rb", closefd=False) as file:
    tag, root, program, *given = map(os.fsdecode, file.read().split(b"\\0"))
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
if tag == sys.implementation.cache_tag:
    sys.path[:] = given + [entry for entry in sys.path if entry not in given]
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec
    sys.modules["expman"] = module_from_spec(PathFinder.find_spec("expman", [root]))
sys.modules.setdefault("typing_extensions", None)
from importlib import import_module
sys.exit(import_module(program).main())
"""
# The path is handed over as it is, a warning must not end the writer, nor its end start a prompt.
_DROPPED_VARIABLES = ("PYTHONPATH", "PYTHONWARNINGS", "PYTHONINSPECT", "PYTHONSTARTUP")
_PYTHON = re.compile(r"\.?(python|pypy|graalpy)[0-9.]*[dmt]*(-(dbg|debug|wrapped|real))?")


def find_python(setting: str | None = None) -> str:
    """The interpreter that writers are started with.

    Args:
        setting: one that the user names; else the variable EXPMAN_PYTHON may name one.

    Raises:
        ConfigError: what is named cannot be executed, or none is named and none is known.
    """
    for name, named in (("python", setting), (VARIABLE, os.environ.get(VARIABLE))):
        if named and not _is_executable(named):
            raise ConfigError(name, named, "must be the path of an executable Python interpreter")
        if named:
            return os.path.abspath(named)
    found = next(filter(_is_python, _candidates()), None)
    if found is None:
        raise ConfigError(
            "python",
            sys.executable,
            "this program is not a Python interpreter that can run the writer; set "
            f"ExperimentConfig(python=…) or {VARIABLE} to one that has expman installed, "
            "or use a writer that runs already (EXPMAN_WRITER)",
        )
    return found


def start_writer(
    *arguments: str,
    python: str | None = None,
    stdout: int = subprocess.DEVNULL,
    stderr: int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Starts `expman-writer` with these arguments, in a session of its own.

    Its session keeps the signals of the trainer's terminal from it.

    Args:
        arguments: of the command line.
        python: the interpreter, see `find_python`.
        stdout: as for Popen.
        stderr: as for Popen.

    Raises:
        ConfigError: there is no interpreter to start it with.
        OSError: it cannot be started now.
    """
    return _start("expman.writer.main", arguments, python, (stdout, stderr))


def start_relay(
    *arguments: str, python: str | None = None, keep: Collection[int] = ()
) -> subprocess.Popen[bytes]:
    """Starts a relay of the console, see `expman/relay`, in a session of its own.

    Args:
        arguments: of its command line.
        python: the interpreter, see `find_python`.
        keep: descriptors that it gets, under the same numbers.

    Raises:
        ConfigError, OSError: as for `start_writer`.
    """
    nowhere = subprocess.DEVNULL
    return _start("expman.relay.main", arguments, python, (nowhere, nowhere), keep)


def _start(
    program: str,
    arguments: Iterable[str],
    python: str | None,
    outputs: tuple[int, int],
    keep: Collection[int] = (),
) -> subprocess.Popen[bytes]:
    named = bool(python or os.environ.get(VARIABLE))
    options = [] if named else _options()
    command = [find_python(python), *options, "-P", "-c", _CODE, *arguments]
    fd = _file_with(b"\0".join(_packages(named, program)))
    try:
        return subprocess.Popen(
            command,
            env=_environment(named),
            stdin=fd,
            stdout=outputs[0],
            stderr=outputs[1],
            start_new_session=True,
            pass_fds=keep,
        )
    finally:
        os.close(fd)


# -- the interpreter ------------------------------------------------------------------


def _is_frozen() -> bool:
    return bool(getattr(sys, "frozen", False))


def _candidates() -> Iterator[str]:
    base = getattr(sys, "_base_executable", None)  # of a venv, see the module `site`
    if sys.executable and not _is_frozen():
        yield sys.executable
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for prefix in (sys.prefix, sys.exec_prefix, sys.base_exec_prefix):
        yield os.path.join(prefix, "bin", name)
    if base and not _is_frozen():
        yield base


def _is_python(path: str) -> bool:
    names = (os.path.basename(path), os.path.basename(os.path.realpath(path)))
    return any(map(_PYTHON.fullmatch, names)) and _is_executable(path)


def _is_executable(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


def _options() -> list[str]:
    """The trainer's own options that decide where modules are found and how paths are encoded."""
    flags = sys.flags
    options = ["-X", f"utf8={int(sys.getfilesystemencoding().lower() == 'utf-8')}"]
    options += ["-I"] * flags.isolated + ["-E"] * flags.ignore_environment
    return options + ["-s"] * flags.no_user_site + ["-S"] * flags.no_site


def _environment(named: bool) -> dict[str, str]:
    env = {name: text for name, text in os.environ.items() if name not in _DROPPED_VARIABLES}
    if named:
        env.pop("PYTHONHOME", None)
    elif "PYTHONHOME" in env:  # it may have been set after this program had begun
        env["PYTHONHOME"] = f"{sys.base_prefix}:{sys.base_exec_prefix}"
    if _is_frozen():  # PyInstaller points it at the application's own libraries
        env.pop("LD_LIBRARY_PATH", None)
        if "LD_LIBRARY_PATH_ORIG" in env:
            env["LD_LIBRARY_PATH"] = env["LD_LIBRARY_PATH_ORIG"]
    return env


# -- the packages ---------------------------------------------------------------------


def _packages(named: bool, program: str) -> Iterator[bytes]:
    """For which Python they are, where expman is, what to run, and the search path."""
    frozen = named and _is_frozen()  # the packages are in the application
    yield b"" if frozen else os.fsencode(sys.implementation.cache_tag or "")
    yield os.fsencode(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    yield program.encode()
    if not frozen:
        yield from _search_path()


def _search_path() -> list[bytes]:
    main_file = getattr(sys.modules.get("__main__"), "__file__", None)
    loose = {os.path.dirname(main_file)} if isinstance(main_file, str) else set()
    try:
        loose.add(os.getcwd())
    except OSError:
        pass  # it was removed: nothing can be imported from it
    entries = [_absolute(entry) for entry in sys.path if isinstance(entry, str)]
    found = sorted((entry for entry in entries if entry), key=lambda entry: entry in loose)
    return [encoded for entry in found if (encoded := _encode(entry))]


def _absolute(entry: str) -> str:
    try:
        return os.path.abspath(entry)
    except OSError:
        return ""


def _encode(entry: str) -> bytes:
    try:
        encoded = os.fsencode(entry)
    except UnicodeEncodeError:
        return b""  # no directory has such a name
    return b"" if b"\0" in encoded else encoded


def _file_with(content: bytes) -> int:
    """A descriptor of a file without a name, at its beginning."""
    fd = _nameless_file()
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _nameless_file() -> int:
    try:
        return os.memfd_create("expman-path")
    except (AttributeError, OSError):  # a system without it
        import tempfile  # seldom needed, and slow to import

        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
