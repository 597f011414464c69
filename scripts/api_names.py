"""Makes the lists of names in docs/reference/api.md, which can be read where it is not built."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
from collections.abc import Iterator
from typing import Any

import expman

__all__ = ["with_names"]

_ENTRY = re.compile(r"^::: expman\.(\w+)$", re.MULTILINE)
_LIST = re.compile(r"<!-- begin: names -->\n.*?<!-- end: names -->\n\n", re.DOTALL)
_OPENED = ("LoggingEngine", "Experiment", "SummaryWriter", "RunList", "Run", "Preemption")
"""Classes whose members have a line each, too."""
_MOST_PARAMETERS = 4


def with_names(page: str) -> str:
    """The page with a list of its names at the begin of each section, before the first entry."""
    head, *sections = re.split(r"(?m)^(?=## )", _LIST.sub("", page))
    return head + "".join(map(_with_list, sections))


def _with_list(section: str) -> str:
    lines = "".join(f"{line}\n" for name in _ENTRY.findall(section) for line in _lines(name))
    listed = f"<!-- begin: names -->\n\n{lines}\n<!-- end: names -->\n\n"
    return _ENTRY.sub(lambda found: listed + found[0], section, count=1)


def _lines(name: str) -> Iterator[str]:
    public = getattr(expman, name)
    yield f"- `{name}{_parameters(public)}`: {_first_line(public, name)}"
    if name in _OPENED:
        for member, code in _members(public):
            call = "" if isinstance(code, property) else _parameters(getattr(public, member))
            yield f"    - `{member}{call}`: {_first_line(code, member)}"


def _parameters(public: Any) -> str:
    """How a function is called; nothing for a class, whose parameters its entry explains."""
    if not inspect.isroutine(public):
        return ""
    names = [name for name in inspect.signature(public).parameters if name not in ("self", "cls")]
    return f"({', '.join(names)})" if len(names) <= _MOST_PARAMETERS else f"({names[0]}, …)"


def _first_line(public: Any, name: str) -> str:
    is_code = inspect.isclass(public) or inspect.isroutine(public)
    is_code |= isinstance(public, property | classmethod | staticmethod)
    text = (inspect.getdoc(public) or "") if is_code else _text_below(name)
    return " ".join(text.partition("\n\n")[0].split())


def _text_below(name: str) -> str:
    """The docstring below an assignment of expman/models.py, such as that of MetricValue."""
    from expman import models

    body = ast.parse(inspect.getsource(models)).body
    for first, second in itertools.pairwise(body):
        target = getattr(first, "target", None)
        if isinstance(target, ast.Name) and target.id == name and isinstance(second, ast.Expr):
            return str(ast.literal_eval(second.value))
    raise LookupError(name)


def _members(kind: type) -> Iterator[tuple[str, Any]]:
    """Public functions and properties of a class, those of its bases in the package included."""
    seen: set[str] = set()
    for base in kind.__mro__:
        if not base.__module__.startswith("expman"):
            continue
        for name, member in vars(base).items():
            is_code = isinstance(member, property | classmethod | staticmethod)
            if name.startswith("_") or name in seen or not (is_code or inspect.isfunction(member)):
                continue
            seen.add(name)
            yield name, member
