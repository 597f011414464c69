"""How the writer's interpreter is started: with the trainer's packages, and nothing in their way.

The writer gets the trainer's `sys.path`, for a trainer may have found its packages in ways that
a child does not know: PYTHONPATH under other options, directories that it added itself, a zip
file. What may hold anything, the working directory and the script's, comes last: a `yaml.py`
there must not stand in for the real one. expman itself comes from where the trainer has it,
whatever else has that name.
"""

from __future__ import annotations

import os
import sys

__all__ = ["writer_command", "writer_environment"]

_CODE = """\
import sys
given = {path}
sys.path[:] = given + [entry for entry in sys.path if entry not in given]
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
spec = PathFinder.find_spec("expman", [{root}])
sys.modules["expman"] = module_from_spec(spec)
spec.loader.exec_module(sys.modules["expman"])
from expman.writer.main import main
sys.exit(main())
"""
# The path is handed over as it is, and a warning must not end the writer.
_DROPPED_VARIABLES = ("PYTHONPATH", "PYTHONWARNINGS")


def writer_command(*arguments: str) -> list[str]:
    """The command line that runs `expman-writer` with these arguments."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    code = _CODE.format(path=ascii(_search_path()), root=ascii(root))
    safe_path = "-I" if sys.flags.isolated else "-P"
    return [sys.executable or "python3", safe_path, "-c", code, *arguments]


def writer_environment() -> dict[str, str]:
    """The environment that the writer starts with."""
    return {name: text for name, text in os.environ.items() if name not in _DROPPED_VARIABLES}


def _search_path() -> list[str]:
    main_file = getattr(sys.modules.get("__main__"), "__file__", None)
    loose = {os.path.dirname(main_file)} if isinstance(main_file, str) else set()
    try:
        loose.add(os.getcwd())
    except OSError:
        pass  # it was removed: nothing can be imported from it
    entries = [_absolute(entry) for entry in sys.path if isinstance(entry, str)]
    return sorted((entry for entry in entries if entry), key=lambda entry: entry in loose)


def _absolute(entry: str) -> str:
    try:
        return os.path.abspath(entry)
    except OSError:
        return ""
