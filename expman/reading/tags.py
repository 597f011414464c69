"""Tag expressions, with the grammar of expman-rs.

    arm:tiered AND (study:1 OR study:2)

AND (or a comma) separates clauses; OR (or a bar) separates the alternatives of a clause, so OR
binds tighter than AND. Parentheses may stand around a clause, quotes around a tag. NOT and nesting
do not exist; an expression that would need them is refused rather than misunderstood.
"""

from __future__ import annotations

from collections.abc import Iterable

from expman.errors import ConfigError

__all__ = ["TagFilter"]


class TagFilter:
    """Filter of runs by their tags.

    Args:
        wanted: an expression, or tags that must all be there.
        strict: refuse what the grammar cannot express. Otherwise the result is that of
            expman-rs, whatever was meant.

    Raises:
        ConfigError: the expression cannot be understood.
    """

    def __init__(self, wanted: str | Iterable[str], *, strict: bool = True) -> None:
        if isinstance(wanted, str):
            self._clauses = [_alternatives(clause) for clause in _clauses(wanted)]
            if strict:
                _refuse_nesting(wanted, self._clauses)
        else:
            self._clauses = [frozenset([tag]) for tag in wanted]

    def matches(self, tags: Iterable[str]) -> bool:
        """Returns whether each clause has one of its tags among `tags`."""
        found = set(tags)
        return all(clause & found for clause in self._clauses)


def _clauses(expression: str) -> list[str]:
    clauses: list[list[str]] = [[]]
    for token in expression.replace(",", " AND ").replace("|", " OR ").split():
        if token.upper() == "AND":
            clauses.append([])
        else:
            clauses[-1].append(token)
    texts = [" ".join(tokens).strip("()") for tokens in clauses]
    return [text for text in texts if _alternatives(text)]


def _alternatives(clause: str) -> frozenset[str]:
    tags: list[list[str]] = [[]]
    for token in clause.split():
        if token.upper() == "OR":
            tags.append([])
        else:
            tags[-1].append(token)
    return frozenset(text for tokens in tags if tokens and (text := " ".join(tokens).strip("'\"")))


def _refuse_nesting(expression: str, clauses: list[frozenset[str]]) -> None:
    for tag in frozenset().union(*clauses):
        if "(" in tag or ")" in tag:
            rule = "parentheses can only stand around alternatives: (a OR b) AND c"
        elif tag.upper().startswith("NOT ") or tag.startswith(("!", "-")):
            rule = "there is no NOT; filter the runs in Python"
        else:
            continue
        raise ConfigError("tags", expression, rule)
