"""Suggests the name that a misspelt one may mean."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from types import CodeType
from typing import Any, ParamSpec, TypeVar

__all__ = ["counterpart_of", "did_you_mean", "suggests_fields", "suggests_keywords"]

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


_COUNTERPARTS = {
    "config": "log_params",
    "end_run": "close",
    "finish": "close",
    "log_artifact": "save_artifact",
    "log_artifacts": "save_artifact",
    "log_hyperparams": "log_params",
    "log_metric": "log",
    "log_metrics": "log",
    "log_model": "save_artifact",
    "log_param": "log_params",
    "save": "save_artifact",
    "set_experiment": "init",
    "start_run": "init",
    "summary": "log_scalar",
}
"""Names that wandb, MLflow and Lightning have, and the ones that expman has for them."""


def counterpart_of(name: str, known: Iterable[str]) -> str:
    """Like `did_you_mean`; a name of another tracker gives the one that expman has for it."""
    names = list(known)
    meant = _COUNTERPARTS.get(name)
    return did_you_mean([name if meant is None or meant not in names else meant], names)


def did_you_mean(missing: Iterable[str], known: Iterable[str]) -> str:
    """Returns "; did you mean 'loss'?" for names that resemble known ones, else "".

    The last part of a known name counts, too: 'loss' for 'train/loss'.
    """
    import difflib  # only a mistake needs it

    parts = {part: name for name in reversed([*known]) for part in (name.rpartition("/")[2], name)}
    close = [parts[part] for one in missing for part in difflib.get_close_matches(one, parts, n=1)]
    return f"; did you mean {' or '.join(map(repr, dict.fromkeys(close)))}?" if close else ""


def _unknown(function: str, given: Iterable[str], known: Iterable[str]) -> TypeError | None:
    """The error for keyword arguments that a function does not have; None if it has them all."""
    names = list(known)
    missing = [name for name in given if name not in names]
    if not missing:
        return None
    what = " and ".join(map(repr, missing))
    hint = did_you_mean(missing, names) or f"; its arguments: {', '.join(names)}"
    return TypeError(f"{function}() has no argument {what}{hint}")


def suggests_keywords(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Has a function's error for a misspelt keyword name the one that may be meant.

    Args:
        function: a function or an `__init__` that takes no arbitrary keywords.
    """
    code: CodeType = function.__code__
    known = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    known = known[known[:1] == ("self",) :]
    called = function.__qualname__.removesuffix(".__init__")

    @functools.wraps(function)
    def checked(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        error = _unknown(called, kwargs, known)
        if error is not None:
            raise error
        return function(*args, **kwargs)

    return checked


def suggests_fields(kind: type[type]) -> type[type]:
    """Derives a metaclass of structs whose error for a misspelt field does the same.

    Args:
        kind: the metaclass of msgspec.Struct. Before msgspec 0.20 none can be derived from it,
            and it is given back.
    """

    def __call__(cls: Any, *args: object, **kwargs: object) -> object:  # noqa: N807
        error = _unknown(cls.__name__, kwargs, cls.__struct_fields__)
        if error is not None:
            raise error
        return kind.__call__(cls, *args, **kwargs)

    try:
        return type("SuggestingMeta", (kind,), {"__call__": __call__})
    except TypeError:
        return kind
