"""The parser of queries as it was before they had fields: what every query meant then.

As it was in commit 10256ed; the trees are today's, whose tags have the same parts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from photoramd.errors import UsageError
from photoramd.keywords import comparison_key
from photoramd.search.expression import And, Expression, Not, Or, Term

MAX_TERMS = 200
MAX_DEPTH = 50


def parse(text: str) -> Expression:
    """Parse an expression.

    Raises:
        UsageError: It has an error; the message names its position.
    """
    return _Parser(text).parse()


_TOKEN = re.compile(
    r"""\s*(?: (?P<end>\Z) | (?P<open>\() | (?P<close>\)) | (?P<and>&&?) | (?P<or>\|\|?)
    | (?P<not>! | -(?=[^\s-])) | "(?P<text>(?:[^"\\]|\\.)*)" | (?P<word>[^\s()&|"!,;-][^\s()&|",;]*)
    )""",
    re.VERBOSE | re.DOTALL,
)
_NAMES = {"end": "the end", "open": "(", "close": ")", "and": "AND", "or": "OR"}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


class _Parser:
    """A recursive descent parser that looks one token ahead."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._end = 0
        self._depth = 0
        self._terms = 0
        self._next = self._scan()

    def parse(self) -> Expression:
        if self._next.kind == "end":
            raise UsageError(
                "the query is empty", remedy='name a tag, such as dog or "tiger cat", or * for any'
            )
        expression = self._any()
        if self._next.kind != "end":
            raise self._error(") without a (", "remove it, or put a ( before")
        return expression

    def _any(self) -> Expression:
        operands = [self._all()]
        while self._next.kind == "or":
            self._take()
            operands.append(self._all())
        return operands[0] if len(operands) == 1 else Or(tuple(operands))

    def _all(self) -> Expression:
        operands = [self._one()]
        while self._next.kind not in ("or", "close", "end"):
            if self._next.kind == "and":
                self._take()
            operands.append(self._one())
        return operands[0] if len(operands) == 1 else And(tuple(operands))

    def _one(self) -> Expression:
        negative = False
        while self._next.kind == "not":
            self._take()
            negative = not negative
        operand = self._group() if self._next.kind == "open" else self._term()
        return Not(operand) if negative else operand

    def _group(self) -> Expression:
        if self._depth == MAX_DEPTH:
            raise self._error(f"more than {MAX_DEPTH} parentheses within each other", "simplify it")
        self._depth += 1
        opening = self._take()
        expression = self._any()
        if self._next.kind != "close":
            raise self._error(
                f"no ) for the ( at position {opening.position}", "add a ) where it ends"
            )
        self._take()
        self._depth -= 1
        return expression

    def _term(self) -> Term:
        token = self._next
        if token.kind not in ("word", "text"):
            raise self._error(
                f"a tag is missing before {_NAMES[token.kind]}",
                'write a tag there; quotes make a tag of any word, such as "and" or "tiger cat"',
            )
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise self._error(f"more than {MAX_TERMS} tags", "use several queries, or *")
        self._take()
        if token.kind == "word":
            return Term(tuple(re.split(r"\*+", token.text)))
        return Term((re.sub(r"\\(.)", r"\1", token.text, flags=re.DOTALL),))

    def _take(self) -> _Token:
        token, self._next = self._next, self._scan()
        return token

    def _scan(self) -> _Token:
        match = _TOKEN.match(self._text, self._end)
        if match is None:
            raise self._unreadable()
        self._end = match.end()
        kind = match.lastgroup or "end"
        text = match[kind]
        position = match.start(kind) + 1 - (kind == "text")
        if kind == "word" and text.upper() in ("AND", "OR", "NOT"):
            kind = text.lower()
        if kind == "text" and not comparison_key(text):
            raise _error(position, "empty quotes", "write a tag between them, or remove them")
        return _Token(kind, text, position)

    def _unreadable(self) -> UsageError:
        rest = self._text[self._end :]
        position = self._end + len(rest) - len(rest.lstrip()) + 1
        character = self._text[position - 1]
        if character == '"':
            return _error(position, "quotes that do not end", 'add a " at the end of the tag')
        return _error(
            position,
            f"unexpected {character}",
            "put AND, OR or NOT between tags, and a tag with other signs in quotes",
        )

    def _error(self, message: str, remedy: str) -> UsageError:
        return _error(self._next.position, message, remedy)


def _error(position: int, message: str, remedy: str) -> UsageError:
    return UsageError(f"in the query at position {position}: {message}", remedy=remedy)
