"""Prints the public names of the installed expman, each with its parameters, as JSON.

It runs with expman-rs and with this package.
"""

import inspect
import json

import expman

CLASSES = ("Experiment", "SummaryWriter")


def parameters(function):
    """Names and defaults, or None for what is no function."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [
        [one.name, "required" if one.default is one.empty else repr(one.default)]
        for one in found
        if one.kind not in kinds and one.name != "self"
    ]


names = [name for name in dir(expman) if not name.startswith("_")]
found = {}
for name in names:
    value = getattr(expman, name)
    if inspect.isfunction(value) or inspect.isbuiltin(value):
        found[name] = parameters(value)
    elif name in CLASSES:
        found[name] = parameters(value.__init__)
        for member in dir(value):
            if not member.startswith("_"):
                found[f"{name}.{member}"] = parameters(getattr(value, member))
print(json.dumps(found))
