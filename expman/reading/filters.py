"""The language of filters: `lr < 0.01 and status = finished`.

docs/reference/filters.md has the grammar; the page has the same language in JavaScript.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from expman.errors import ConfigError, StorageError
from expman.models import RunStatus
from expman.reading.fields import DURATIONS, TIMES, RunFields, fact_of, why_unknown
from expman.reading.filter_values import Literal, compare, is_moment, is_span
from expman.reading.run import Run
from expman.reading.text import visible
from expman.suggestions import did_you_mean

__all__ = ["RunFilter"]

_SIGN = r"==|!=|<=|>=|!~|&&|\|\||[=<>~(),!]"
_TOKEN = re.compile(rf"""\s+|(?P<sign>{_SIGN})|(?P<word>[^\s=<>~(),!"'])""")
_SIGNS = {"==": "=", "&&": "and", "||": "or", "!": "not"}
_WORDS = frozenset({"and", "or", "not", "in"})
_OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "~", "!~")
_MOST_LEVELS = 50
_CONTEXT = 30
"""Characters of a long filter that a message shows on either side of a mistake."""


class RunFilter:
    """A filter of runs.

    Args:
        text: the filter, such as `lr < 0.01 and status = finished`.

    Raises:
        ConfigError: it cannot be understood; the message points to the place.
    """

    def __init__(self, text: str) -> None:
        self._parser = _Parser(text)
        self._test = self._parser.whole()

    def matches(self, run: Run) -> bool:
        """Returns whether a run fulfils the filter.

        Raises:
            StorageError: a file cannot be read.
        """
        return self._test(RunFields(run).value)

    def choose(self, runs: Iterable[Run]) -> tuple[list[Run], list[tuple[Run, StorageError]]]:
        """Returns the runs that fulfil the filter, and those that cannot be read.

        Raises:
            ConfigError: no run has a value of a name in the filter; the message suggests one.
        """
        every = list(runs)
        unseen = {name.text: name for name in self._parser.names if fact_of(name.text) is None}
        chosen, lost = [], []
        for run in every:
            fields = RunFields(run)
            try:
                if self._test(fields.value):
                    chosen.append(run)
                for seen in [name for name in unseen if fields.value(name) is not None]:
                    del unseen[seen]
            except StorageError as exc:
                lost.append((run, exc))
        for name in unseen.values() if len(lost) < len(every) else ():
            raise self._parser.error(why_unknown(every, name.text), name.start, name.end)
        return chosen, lost


_Value = Callable[[str], object]
_Test = Callable[[_Value], bool]


@dataclass(frozen=True)
class _Token:
    kind: str  # "word", a sign, or "end"
    text: str
    quoted: bool
    start: int
    end: int


def _any(tests: list[_Test]) -> _Test:
    return tests[0] if len(tests) == 1 else lambda value: any(test(value) for test in tests)


def _all(tests: list[_Test]) -> _Test:
    return tests[0] if len(tests) == 1 else lambda value: all(test(value) for test in tests)


class _Parser:
    """Makes a test of a text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.names: list[_Token] = []
        self._tokens = list(self._split())
        self._place = 0
        self._level = 0

    def error(self, what: str, start: int, end: int) -> ConfigError:
        """Makes an error whose message points to a place."""
        first, last = max(0, start - _CONTEXT), end + _CONTEXT
        before = ("…" if first else "") + visible(self._text[first:start])
        shown = before + visible(self._text[start:last]) + ("…" if last < len(self._text) else "")
        marks = "^" * max(1, min(len(visible(self._text[start:end])), _CONTEXT))
        return ConfigError("where", self._text, f"{what}\n  {shown}\n  {' ' * len(before)}{marks}")

    def whole(self) -> _Test:
        if self._next.kind == "end":
            raise self._expected("a comparison, such as lr < 0.01")
        test = self._alternatives()
        if self._next.kind != "end":
            raise self._expected("and, or, or the end of the filter")
        return test

    def _split(self) -> Iterator[_Token]:
        at = 0
        while at < len(self._text):
            found = _TOKEN.match(self._text, at)
            if found is None or found["word"]:
                token = self._word(at)
                yield token
                at = token.end
                continue
            if sign := found["sign"]:
                yield _Token(_SIGNS.get(sign, sign), sign, False, at, found.end())
            at = found.end()
        yield _Token("end", "", False, at, at)

    def _word(self, start: int) -> _Token:
        """Reads a word: characters and quoted pieces without a blank between them."""
        pieces, quoted, at = [], False, start
        while at < len(self._text):
            character = self._text[at]
            if character in "\"'":
                piece, at = self._quoted(at)
                pieces.append(piece)
                quoted = True
                continue
            found = _TOKEN.match(self._text, at)
            if found is None or not found["word"]:
                break
            pieces.append(character)
            at += 1
        text = "".join(pieces)
        kind = text.lower() if not quoted and text.lower() in _WORDS else "word"
        return _Token(kind, text, quoted, start, at)

    def _quoted(self, start: int) -> tuple[str, int]:
        quote, at = self._text[start], start + 1
        pieces: list[str] = []
        while at < len(self._text):
            if self._text[at] == quote:
                return "".join(pieces), at + 1
            if self._text[at] == "\\" and at + 1 < len(self._text):
                at += 1
            pieces.append(self._text[at])
            at += 1
        raise self.error(f"this quote {quote} has no end", start, start + 1)

    @property
    def _next(self) -> _Token:
        return self._tokens[self._place]

    def _take(self) -> _Token:
        token = self._next
        self._place += token.kind != "end"
        return token

    def _expected(self, what: str) -> ConfigError:
        token = self._next
        found = "at the end" if token.kind == "end" else f"not {visible(token.text)[:40]!r}"
        return self.error(f"expected {what}, {found}", token.start, token.end)

    def _alternatives(self) -> _Test:
        tests = [self._together()]
        while self._next.kind == "or":
            self._take()
            tests.append(self._together())
        return _any(tests)

    def _together(self) -> _Test:
        tests = [self._one()]
        while self._next.kind == "and":
            self._take()
            tests.append(self._one())
        return _all(tests)

    def _one(self) -> _Test:
        token = self._next
        if token.kind not in ("not", "("):
            return self._comparison()
        self._level += 1
        if self._level > _MOST_LEVELS:
            raise self.error(f"more than {_MOST_LEVELS} levels", token.start, token.end)
        self._take()
        if token.kind == "not":
            inner = self._one()
            self._level -= 1
            return lambda value: not inner(value)
        inner = self._alternatives()
        if self._next.kind != ")":
            raise self._expected("a closing parenthesis")
        self._take()
        self._level -= 1
        return inner

    def _comparison(self) -> _Test:
        name = self._take()
        if name.kind != "word":
            self._place -= name.kind != "end"
            raise self._expected("a name, such as status, lr or loss:min")
        self.names.append(name)
        operator = self._take()
        negated = operator.kind == "not"
        if negated:
            operator = self._take()
        if operator.kind == "in":
            return self._among(name, negated)
        if negated or operator.kind not in _OPERATORS:
            self._place -= operator.kind != "end"
            raise self._expected(f"one of {', '.join(_OPERATORS)}, in, not in")
        literal = self._literal(name, operator.kind)
        field, sign = name.text, operator.kind
        if sign in ("!=", "!~"):
            positive = sign.replace("!", "")
            return lambda value: not compare(value(field), positive, literal)
        return lambda value: compare(value(field), sign, literal)

    def _among(self, name: _Token, negated: bool) -> _Test:
        if self._take().kind != "(":
            self._place -= 1
            raise self._expected("a list in parentheses: lr in (0.1, 0.01)")
        literals = [self._literal(name, "=")]
        while self._next.kind == ",":
            self._take()
            literals.append(self._literal(name, "="))
        if self._next.kind != ")":
            raise self._expected("a comma or a closing parenthesis")
        self._take()
        field = name.text
        return lambda value: negated != any(compare(value(field), "=", one) for one in literals)

    def _literal(self, name: _Token, operator: str) -> Literal:
        token = self._take()
        if token.kind != "word":
            self._place -= token.kind != "end"
            raise self._expected("a value")
        literal = Literal(token.text, token.quoted, token.start, token.end)
        fact = fact_of(name.text)
        wrong = ""
        if fact == "status" and operator in ("=", "!="):
            try:
                status = str(RunStatus.parse(token.text))
            except ValueError:
                names = [status.lower() for status in RunStatus]
                hint = did_you_mean([token.text.lower()], names) or f"; one of {', '.join(names)}"
                wrong = f"no status is called {token.text[:40]!r}{hint}"
            else:
                return Literal(status, True, token.start, token.end)
        elif fact in TIMES and not is_moment(literal):
            wrong = "expected a time (2026-01-31, 2026-01-31T12:00) or an age (90m, 12h, 7d)"
        elif fact in DURATIONS and not is_span(literal):
            wrong = "expected seconds or a span of time, such as 90, 90s, 15m, 2h"
        if wrong:
            raise self.error(wrong, token.start, token.end)
        if fact in DURATIONS and literal.span_s is not None:
            return Literal(repr(literal.span_s), False, token.start, token.end)
        return literal
