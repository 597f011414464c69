"""Calls reading functions of expman-rs, in an interpreter that has it.

query_with_expman_rs.py: reads lines [function, positional arguments, named ones], answers each.
"""

import json
import sys

import expman

for line in sys.stdin:
    name, arguments, named = json.loads(line)
    try:
        print(json.dumps(getattr(expman, name)(*arguments, **named)), flush=True)
    except ValueError as exc:
        print(json.dumps({"error": type(exc).__name__}), flush=True)
