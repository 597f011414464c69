"""Which runs a query can be about: those that its WHERE names, so that no others are read.

The tree is that of DuckDB's `json_serialize_sql`. What is not recognized leaves all runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from expman.reading.run import Run

__all__ = ["chosen_by", "nodes"]

_NAMES = ("experiment", "run")


def nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yields all mappings of a tree."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def chosen_by(tree: Any, table: str, runs: Sequence[Run]) -> Sequence[Run]:
    """Returns the runs whose lines of a table the query can use.

    That is known where the table stands alone in one FROM, whose WHERE has `run = 'a'` or
    `run IN ('a', 'b')` among conditions that must all hold; the same for `experiment`.
    """
    uses = [node for node in nodes(tree) if _is_table(node, table)]
    selects = [node for node in nodes(tree) if _is_table(node.get("from_table"), table)]
    if len(uses) != 1 or len(selects) != 1:
        return runs
    for condition in _all_of(selects[0].get("where_clause")):
        name, values = _named(condition)
        if name == "run":
            runs = [run for run in runs if run.name in values]
        elif name == "experiment":
            runs = [run for run in runs if run.experiment in values]
    return runs


def _is_table(node: Any, table: str) -> bool:
    if not isinstance(node, dict) or node.get("type") != "BASE_TABLE":
        return False
    return str(node.get("table_name", "")).lower() == table


def _all_of(condition: Any) -> Iterator[dict[str, Any]]:
    """Yields the conditions that must all hold."""
    if not isinstance(condition, dict):
        return
    if condition.get("type") == "CONJUNCTION_AND":
        for child in condition.get("children", ()):
            yield from _all_of(child)
    else:
        yield condition


def _named(condition: Mapping[str, Any]) -> tuple[str, frozenset[str]]:
    """Returns the column that a condition compares with texts, and these; "" if it does not."""
    match condition.get("type"):
        case "COMPARE_EQUAL":
            column, constant = condition.get("left"), condition.get("right")
            if not _column(column):
                column, constant = constant, column
            constants = [constant]
        case "COMPARE_IN":
            column, *constants = condition.get("children") or [None]
        case _:
            return "", frozenset()
    name = _column(column)
    texts = [_text(constant) for constant in constants]
    if name not in _NAMES or not texts or None in texts:
        return "", frozenset()
    return name, frozenset(text for text in texts if text is not None)


def _column(node: Any) -> str:
    """The name of a column in small letters; "" if the node is none."""
    if not isinstance(node, dict) or node.get("type") != "COLUMN_REF":
        return ""
    return str((node.get("column_names") or [""])[-1]).lower()


def _text(node: Any) -> str | None:
    """The text of a constant, as DuckDB 1 and 2 write it."""
    if not isinstance(node, dict) or node.get("type") != "VALUE_CONSTANT":
        return None
    literal, value = node.get("literal"), node.get("value")
    if isinstance(literal, dict) and literal.get("kind") == "STRING":
        return str(literal.get("text"))
    if isinstance(value, dict) and isinstance(value.get("value"), str):
        return str(value["value"])
    return None
