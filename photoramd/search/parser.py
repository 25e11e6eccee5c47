"""The language of `photoramd query`.

    query = all { "OR" all }
    all   = one { [ "AND" ] one }          beside each other they mean both
    one   = { "NOT" } ( "(" query ")" | field | tag )
    field = NAME ":" [ "=" ] value { "," value } | NAME ( ">" | ">=" | "<" | "<=" ) value
    tag   = ( word | string ) [ "@" range ]
    range = v | v ".." [ v ] | ".." v | ( ">" | ">=" | "<" | "<=" ) v
    value = string | range | word             * in a word stands for any letters

NOT binds closest, then AND, then OR. ``&``, ``&&``, ``|``, ``||``, ``!`` and a leading ``-`` mean
the same as the words, which may be written in small letters. ``@name`` is a saved search. The
fields, and what may stand behind each, are in `fields`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from photoramd.errors import QueryError
from photoramd.keywords import comparison_key
from photoramd.search.expression import And, Expression, Field, Not, Or, Range, Term
from photoramd.search.fields import FIELDS, FieldKind, confidence_of, nearest, values_of
from photoramd.search.values import BadValueError, RawValue, storable

SCORED = ("tag", "auto", "scored")
"""Fields whose values may have a confidence behind them."""

MAX_CHARACTERS = 4096
MAX_TERMS = 200
MAX_DEPTH = 50
"""Nested parentheses and saved searches: Python's stack is finite."""


def parse(
    text: str, *, now: float | None = None, searches: Mapping[str, str] | None = None
) -> Expression:
    """Parse a query.

    Args:
        text: The query.
        now: The present time of the wall clock, for ``<7d`` and ``today``, in seconds since 1970 as
            if the clock showed UTC; None takes this machine's.
        searches: Saved searches by name.

    Raises:
        QueryError: It has an error; the message names its position.
    """
    return _parser(text, now, searches).parse()


def parts(
    text: str, *, now: float | None = None, searches: Mapping[str, str] | None = None
) -> list[str]:
    """Return the texts of a query all of which must hold, which may stand in any order.

    Joined by blanks they mean the same as the query.

    Args:
        text: The query.
        now: See `parse`.
        searches: Saved searches by name.

    Raises:
        QueryError: It has an error.
    """
    return _parser(text, now, searches).parts()


def _parser(text: str, now: float | None, searches: Mapping[str, str] | None) -> _Parser:
    if now is None:
        now = time.time() + time.localtime().tm_gmtoff
    return _Parser(text, now, dict(searches or {}), Budget())


@dataclass(slots=True)
class Budget:
    """How much of what is allowed was used, saved searches included.

    Attributes:
        terms: Tags and values.
        depth: Parentheses and saved searches that are open.
        searches: The names of those searches.
    """

    terms: int = 0
    depth: int = 0
    searches: list[str] = field(default_factory=list)


_TOKEN = re.compile(
    r"""\s*(?: (?P<end>\Z) | (?P<open>\() | (?P<close>\)) | (?P<and>&&?) | (?P<or>\|\|?)
    | (?P<not>! | -(?=[^\s-])) | "(?P<text>(?:[^"\\]|\\.)*)" | @(?P<saved>[\w.-]+)
    | (?P<word>[^\s()&|"!,;:@<>=-][^\s()&|",;:@<>=]*)
    )""",
    re.VERBOSE | re.DOTALL,
)
_VALUE = re.compile(
    r"""(?P<sign>[<>]=?)? (?: "(?P<text>(?:[^"\\]|\\.)*)" | (?P<word>[^\s()&|",;]+) )?""",
    re.VERBOSE | re.DOTALL,
)
_CONFIDENCE = re.compile(r"@([<>]=?|[\d.])[^\s()&|\",;@]*")
_COMPARISON = re.compile(r"[<>]=?")
_NAMES = {"end": "the end", "open": "(", "close": ")", "and": "AND", "or": "OR"}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


class _Parser:
    """A recursive descent parser that looks one token ahead."""

    def __init__(self, text: str, now: float, searches: Mapping[str, str], budget: Budget) -> None:
        if len(text) > MAX_CHARACTERS:
            raise QueryError(
                f"the query is longer than {MAX_CHARACTERS} characters",
                remedy="use several queries, or * for many tags",
            )
        self._text = text
        self._now = now
        self._searches = searches
        self._budget = budget
        self._end = 0
        self._next = self._scan()

    def parse(self) -> Expression:
        if self._next.kind == "end":
            raise QueryError(
                "the query is empty", remedy='name a tag, such as dog or "tiger cat", or * for any'
            )
        expression = self._any()
        if self._next.kind != "end":
            raise self._error(") without a (", "remove it, or put a ( before")
        return expression

    def parts(self) -> list[str]:
        found: list[str] = []
        while self._next.kind not in ("or", "end"):
            if self._next.kind == "and" and found:
                self._take()
            begin = self._next.position - 1
            self._one()
            found.append(self._text[begin : self._next.position - 1].rstrip())
        if self._next.kind == "or":
            return [f"({self._text.strip()})"]
        return found

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
        operand = self._group() if self._next.kind == "open" else self._leaf()
        return Not(operand) if negative else operand

    def _group(self) -> Expression:
        if self._budget.depth == MAX_DEPTH:
            raise self._error(f"more than {MAX_DEPTH} parentheses within each other", "simplify it")
        self._budget.depth += 1
        opening = self._take()
        expression = self._any()
        if self._next.kind != "close":
            raise self._error(
                f"no ) for the ( at position {opening.position}", "add a ) where it ends"
            )
        self._take()
        self._budget.depth -= 1
        return expression

    def _leaf(self) -> Expression:
        token = self._next
        if token.kind not in ("word", "text", "saved"):
            raise self._error(
                f"a tag is missing before {_NAMES[token.kind]}",
                'write a tag there; quotes make a tag of any word, such as "and" or "tiger cat"',
            )
        self._count()
        if token.kind == "saved":
            return self._saved(token)
        follows = self._text[self._end : self._end + 1]
        if token.kind == "word" and follows and follows in ":<>":
            return self._field(token)
        return self._term(token)

    def _count(self) -> None:
        self._budget.terms += 1
        if self._budget.terms > MAX_TERMS:
            raise self._error(f"more than {MAX_TERMS} tags", "use several queries, or *")

    def _saved(self, token: _Token) -> Expression:
        """Return the expression of a saved search."""
        if token.text not in self._searches:
            known = ", ".join(sorted(self._searches)) or "there is none yet"
            raise _error(
                token.position,
                f"there is no saved search @{token.text}",
                f"add it under [searches] in the configuration; those there are: {known}",
            )
        budget = self._budget
        if token.text in budget.searches:
            raise self._error(
                f"the saved search @{token.text} contains itself",
                f"take @{token.text} out of it, under [searches] in the configuration",
            )
        if budget.depth == MAX_DEPTH:
            raise self._error(
                f"more than {MAX_DEPTH} saved searches within each other", "simplify it"
            )
        budget.depth += 1
        budget.searches.append(token.text)
        text = self._searches[token.text]
        try:
            found = _Parser(text, self._now, self._searches, budget).parse()
        except QueryError as error:
            inner = QueryError(
                f"in the saved search @{token.text}: {error.message}", remedy=error.remedy or ""
            )
            inner.position = token.position
            raise inner from error
        budget.searches.pop()
        budget.depth -= 1
        self._take()
        return found

    def _term(self, token: _Token) -> Term:
        confidence = self._confidence()
        self._take()
        return Term(_parts(token), confidence)

    def _confidence(self) -> Range | None:
        """Read an ``@`` and the range behind it, if they are next."""
        if self._text[self._end : self._end + 1] != "@":
            return None
        position = self._end + 1
        found = _CONFIDENCE.match(self._text, self._end)
        if found is None:
            raise _error(position, "no confidence behind @", "write dog@0.8 or dog@0.3..0.5")
        self._end = found.end()
        try:
            return confidence_of(found[0][1:])
        except BadValueError as error:
            raise _error(position + 1, str(error), "write dog@0.8 or dog@0.3..0.5") from error

    def _field(self, token: _Token) -> Field:
        kind = FIELDS.get(token.text.lower())
        if kind is None:
            near = nearest(token.text)
            meant = f"did you mean {near}:? " if near else ""
            raise _error(
                token.position,
                f"there is no field {token.text}",
                f"{meant}photoramd query --fields lists them; quote it to mean a tag",
            )
        sign = self._text[self._end]
        if sign != ":" and not kind.is_range:
            raise _error(self._end + 1, f"{kind.name} cannot be compared", f"write {kind.example}")
        self._end += sign == ":"
        is_exact = sign == ":" and self._text[self._end : self._end + 1] == "="
        self._end += is_exact
        raws = [self._value(kind)]
        while sign == ":" and self._text[self._end : self._end + 1] == ",":
            self._end += 1
            self._count()
            raws.append(self._value(kind))
        try:
            confidence = None
            if kind.name in SCORED:
                raws, confidence = _split_confidence(raws)
                confidence = confidence or self._confidence()
            values = values_of(kind, raws, is_exact, self._now)
        except BadValueError as error:
            position = error.position or raws[0].position
            raise _error(position, str(error), f"write {kind.example}") from error
        self._take()
        return Field(kind.name, values, confidence, token.position)

    def _value(self, kind: FieldKind) -> RawValue:
        """Read a value; no blank may stand before it."""
        found = _VALUE.match(self._text, self._end)
        position = self._end + 1
        sign, text, word = found.groups() if found else (None, None, None)
        if text is None and word is None:
            if self._text[self._end : self._end + 1] == '"':
                raise self._unreadable()
            raise _error(position, "a value is missing", f"write {kind.example}, without a blank")
        if sign and not kind.is_range:
            raise _error(position, f"{kind.name} cannot be compared", f"write {kind.example}")
        assert found is not None  # noqa: S101  it has a group
        self._end = found.end()
        follows = self._text[self._end : self._end + 1]
        is_whole = follows.isspace() or follows in ("", ",", ")", "@", "&", "|")
        if follows == '"' or (text is not None and not is_whole):
            raise _error(self._end + 1, "a value that is quoted in part", "put all of it in quotes")
        if text is not None and not comparison_key(text):
            raise _error(position, "empty quotes", f"write {kind.example}")
        body = _unescaped(text) if text is not None else word or ""
        return RawValue((sign or "") + body, text is not None and not sign, position)

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
        position = match.start(kind) + 1 - (kind in ("text", "saved"))
        if kind == "word" and text.upper() in ("AND", "OR", "NOT"):
            kind = text.lower()
        if kind == "text" and not comparison_key(text):
            raise _error(position, "empty quotes", "write a tag between them, or remove them")
        return _Token(kind, text, position)

    def _unreadable(self) -> QueryError:
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

    def _error(self, message: str, remedy: str) -> QueryError:
        return _error(self._next.position, message, remedy)


def _parts(token: _Token) -> tuple[str, ...]:
    if token.kind == "word":
        return tuple(re.split(r"\*+", storable(token.text)))
    return (storable(_unescaped(token.text)),)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def _split_confidence(raws: Sequence[RawValue]) -> tuple[list[RawValue], Range | None]:
    """Return values without the confidence that the last one ends with.

    Raises:
        BadValueError: There is none behind the ``@``, no value before it, or other values behind.
    """
    *others, last = raws
    for raw in others:
        if "@" in raw.text and not raw.is_quoted:
            text = "a confidence belongs behind the last value, and counts for all"
            raise BadValueError(text, raw.position)
    text, at, confidence = last.text.rpartition("@")
    if last.is_quoted or not at:
        return list(raws), None
    if not text:
        raise BadValueError("a value is missing before @", last.position)
    try:
        found = confidence_of(confidence)
    except BadValueError as error:
        raise BadValueError(str(error), last.position + len(text) + 1) from error
    return [*others, RawValue(text, False, last.position)], found


def _error(position: int, message: str, remedy: str) -> QueryError:
    return QueryError(message, position, remedy=remedy)
