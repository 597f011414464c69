"""Runs a framework's program once for each mode, and imports the framework only once.

in_forks.py PROGRAM BASE_DIR OUT MODE…: each mode runs in a forked child, as a script would, with
BASE_DIR/MODE and OUT/MODE as its own. Prints a line for each: the mode and its exit status.
"""

import ast
import atexit
import contextlib
import importlib
import os
import runpy
import sys
from pathlib import Path

program, base, out, *modes = sys.argv[1:]
tree = ast.parse(Path(program).read_text())
arguments = next(n for n, node in enumerate(tree.body) if "sys.argv" in ast.unparse(node))
# What stands before its arguments: imports, and variables that these need.
exec(compile(ast.Module(tree.body[:arguments], []), program, "exec"), {"__name__": "imports"})

late = Path(f"{base}-imported")
late.touch()
for mode in modes:
    child = os.fork()
    if not child:
        os.dup2(2, 1)
        atexit.register(lambda: late.write_text("\n".join(sys.modules)))
        os.environ["EXPMAN_BASE_DIR"] = f"{base}/{mode}"
        sys.argv = [program, f"{base}/{mode}", f"{out}/{mode}", mode]
        runpy.run_path(program, run_name="__main__")
        sys.exit()
    _, status = os.waitpid(child, 0)
    print(mode, os.waitstatus_to_exitcode(status), flush=True)
    # Frameworks import much when it is first used.
    for name in late.read_text().splitlines():
        if name not in sys.modules and not name.startswith("expman"):
            with contextlib.suppress(Exception):
                importlib.import_module(name)
