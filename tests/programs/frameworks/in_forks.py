"""Runs a framework's program once for each mode, and imports the framework only once.

in_forks.py PROGRAM BASE_DIR OUT MODE…: each mode runs in a forked child, as a script would, with
BASE_DIR/MODE and OUT/MODE as its own. Prints a line for each: the mode and its exit status.
"""

import ast
import os
import runpy
import sys

program, base, out, *modes = sys.argv[1:]
with open(program, encoding="utf-8") as file:
    tree = ast.parse(file.read())
arguments = next(n for n, node in enumerate(tree.body) if "sys.argv" in ast.unparse(node))
# What stands before its arguments: imports, and variables that these need.
exec(compile(ast.Module(tree.body[:arguments], []), program, "exec"), {"__name__": "imports"})

for mode in modes:
    child = os.fork()
    if not child:
        os.dup2(2, 1)
        os.environ["EXPMAN_BASE_DIR"] = f"{base}/{mode}"
        sys.argv = [program, f"{base}/{mode}", f"{out}/{mode}", mode]
        runpy.run_path(program, run_name="__main__")
        sys.exit()
    _, status = os.waitpid(child, 0)
    print(mode, os.waitstatus_to_exitcode(status), flush=True)
