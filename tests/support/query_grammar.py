"""A second reading of queries, by lark and the grammar beside this file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from lark import Lark, Token, Transformer
from lark.exceptions import LarkError, VisitError

from photoramd.search.expression import And, Expression, Field, Not, Or, Text

Shape = tuple[Any, ...]
"""A tree of tuples: what a node is, and its parts; leaves have their texts as they are written."""

TEXTS = {"tag", "user", "auto", "rejected", "scored", "path", "folder", "name", "ext", "root"} | {
    "camera", "lens", "reason", "model", "revision",
}  # fmt: skip
NUMBERS = {"score", "iso", "f", "mm", "mp", "width", "height"}
"""Fields that the grammar's reader knows: the values of others are not compared."""

SURE = {"tag", "auto", "scored"}

_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)"
_RANGE = re.compile(rf"(>=?|<=?)?({_NUMBER})|({_NUMBER})\.\.({_NUMBER})?|\.\.({_NUMBER})")
_STRING = r'"(?:[^"\\]|\\.)*"'
_LEAF = re.compile(r"(?P<name>[^\s:<>]+)(?P<sign>:=?|>=?|<=?)(?P<values>.*)", re.DOTALL)
_VALUES = re.compile(
    rf"(?P<sign>[<>]=?)?(?:(?P<text>{_STRING})|(?P<word>[^,\"]+))(?P<end>,|$)", re.DOTALL
)


class NoQueryError(ValueError):
    """The text is no query."""


def shape(text: str) -> Shape:
    """The shape of a query.

    Raises:
        NoQueryError: It is none.
    """
    try:
        found: Shape = _Shapes().transform(_PARSER.parse(text))
    except VisitError as error:
        if isinstance(error.orig_exc, NoQueryError):
            raise error.orig_exc from error
        raise
    except LarkError as error:
        raise NoQueryError(str(error)) from error
    return found


def shape_of(expression: Expression) -> Shape:
    """The shape of a tree of the real parser."""
    if isinstance(expression, Not):
        return "not", shape_of(expression.operand)
    if isinstance(expression, And | Or):
        kind = "and" if isinstance(expression, And) else "or"
        return kind, *(shape_of(each) for each in expression.operands)
    if isinstance(expression, Field):
        texts = [each.parts if isinstance(each, Text) else None for each in expression.values]
        return expression.name, *texts, expression.confidence is not None
    return "tag", expression.parts, expression.confidence is not None


class _Shapes(Transformer[Token, Shape]):
    def query(self, parts: list[Shape]) -> Shape:
        return parts[0] if len(parts) == 1 else ("or", *parts)

    def all(self, parts: list[Shape]) -> Shape:
        return parts[0] if len(parts) == 1 else ("and", *parts)

    def one(self, parts: list[Any]) -> Shape:
        *signs, operand = parts
        return ("not", operand) if len(signs) % 2 else operand

    def TAG(self, token: Token) -> Shape:  # noqa: N802  as the terminal
        found = re.fullmatch(rf"({_STRING}|[^@]+)(?:@(.*))?", token, re.DOTALL)
        assert found is not None
        return "tag", _parts(found[1]), _is_sure(found[2])

    def SAVED(self, token: Token) -> Shape:  # noqa: N802
        raise NoQueryError(f"{token}: no search was saved")

    def FIELD(self, token: Token) -> Shape:  # noqa: N802
        found = _LEAF.fullmatch(token)
        assert found is not None
        name, sign, rest = found["name"].lower(), found["sign"], found["values"]
        if name not in TEXTS | NUMBERS or (sign[0] != ":" and name not in NUMBERS):
            raise NoQueryError(f"{token}: no such field, or none to compare")
        confidence = None
        if name in SURE:
            rest, confidence = _split(rest)
        values = list(_split_values(rest))
        if name in NUMBERS:
            if sign[0] != ":" and len(values) != 1:
                raise NoQueryError(f"{token}: one value is compared")
            for value in values:
                _check_number(value if sign[0] == ":" else sign + value)
            return name, *(None for _ in values), False
        if any(value[0] in "<>" for value in values):
            raise NoQueryError(f"{token}: a text cannot be compared")
        return name, *(_parts(value) for value in values), _is_sure(confidence)


def _split(rest: str) -> tuple[str, str | None]:
    """The values, and the confidence behind the last."""
    value = rf"(?:{_STRING}|[^,\"@]+)"
    found = re.fullmatch(rf"((?:{value},)*{value})(?:@(.*))?", rest, re.DOTALL)
    if found is None:
        raise NoQueryError(f"{rest}: a confidence belongs at the end")
    return found[1], found[2]


def _split_values(rest: str) -> list[str]:
    found = []
    place = 0
    while place < len(rest) or not found:
        match = _VALUES.match(rest, place)
        if match is None:
            raise NoQueryError(f"{rest}: not values")
        found.append(rest[match.start() : match.start("end")])
        place = match.end()
    if rest.endswith(",") and found[-1][-1:] != '"':
        raise NoQueryError(f"{rest}: a value is missing")
    return found


def _check_number(text: str) -> None:
    found = _RANGE.fullmatch(re.sub(r'"(.*)"', r"\1", text))
    if found is None:
        raise NoQueryError(f"{text}: no range of numbers")
    if found[3] and found[4] and float(found[3]) > float(found[4]):
        raise NoQueryError(f"{text}: upside down")


def _is_sure(text: str | None) -> bool:
    if text is None:
        return False
    _check_number(text)
    if any(float(number) > 1 or float(number) < 0 for number in re.findall(_NUMBER, text)):
        raise NoQueryError(f"{text}: not from 0 to 1")
    return True


def _parts(text: str) -> tuple[str, ...]:
    if not text.startswith('"'):
        return tuple(re.split(r"\*+", text))
    inside = re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
    if not inside.split():
        raise NoQueryError("empty quotes")
    return (inside,)


_GRAMMAR = Path(__file__).with_name("query.lark").read_text(encoding="utf-8")
_PARSER = Lark(_GRAMMAR, start="query", parser="lalr", lexer="basic")
