"""Runs a framework's program once for each mode, and imports the framework only once.

in_forks.py PROGRAM BASE_DIR OUT MODE…: each mode runs in a forked child, as a script would, with
BASE_DIR/MODE and OUT/MODE as its own. `MODE*2` runs in two, which are ranks 0 and 1 of one job.
Prints a line for each child: the mode and its exit status.
"""

import ast
import atexit
import contextlib
import importlib
import os
import runpy
import socket
import sys
from pathlib import Path

program, base, out, *modes = sys.argv[1:]
tree = ast.parse(Path(program).read_text())
arguments = next(n for n, node in enumerate(tree.body) if "sys.argv" in ast.unparse(node))
# What stands before its arguments: imports, and variables that these need.
exec(compile(ast.Module(tree.body[:arguments], []), program, "exec"), {"__name__": "imports"})

late = Path(f"{base}-imported")
late.touch()


def as_ranks(count: int) -> list[dict[str, str]]:
    """The variables that torchrun sets."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(server.getsockname()[1])}
    world = place | {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    return [world | {"RANK": str(n), "LOCAL_RANK": str(n)} for n in range(count)]


for given in modes:
    mode, _, count = given.partition("*")
    children = []
    for variables in as_ranks(int(count)) if count else [{}]:
        children.append(os.fork())
        if not children[-1]:
            os.dup2(2, 1)
            atexit.register(lambda: late.write_text("\n".join(sys.modules)))
            os.environ.update(variables, EXPMAN_BASE_DIR=f"{base}/{mode}")
            sys.argv = [program, f"{base}/{mode}", f"{out}/{mode}", mode]
            runpy.run_path(program, run_name="__main__")
            sys.exit()
    for child in children:
        _, status = os.waitpid(child, 0)
        print(mode, os.waitstatus_to_exitcode(status), flush=True)
    # Frameworks import much when it is first used.
    for name in late.read_text().splitlines():
        if name not in sys.modules and not name.startswith("expman"):
            with contextlib.suppress(Exception):
                importlib.import_module(name)
