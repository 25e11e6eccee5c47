"""Queries as trees: tags and fields with AND, OR and NOT. See `parser` for how they are written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from photoramd.keywords import comparison_key


@dataclass(frozen=True, slots=True)
class Text:
    """A text to look for.

    Attributes:
        parts: The text, split where a ``*`` stands for any letters.
        is_exact: Whether it was given with ``=``.
    """

    parts: tuple[str, ...]
    is_exact: bool = False

    @property
    def text(self) -> str:
        """The text as a user may write it, without quotes."""
        return "*".join(self.parts)

    @property
    def is_pattern(self) -> bool:
        """Whether it has a ``*``."""
        return len(self.parts) > 1

    def matches(self, name: str) -> bool:
        """Return whether it matches a whole name, given by its `comparison_key`."""
        return _matches(self.parts, name)

    def fits(self, name: str) -> bool:
        """Return whether a name, given by its `comparison_key`, has it in it.

        A pattern, and a text given with ``=``, must match all of it.
        """
        if self.is_pattern or self.is_exact:
            return self.matches(name)
        return comparison_key(self.text) in name


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from one to another; None is without end.

    Attributes:
        low: The lower end.
        high: The upper end.
        has_low: Whether the lower end belongs to it.
        has_high: Whether the upper end belongs to it.
    """

    low: float | None = None
    high: float | None = None
    has_low: bool = True
    has_high: bool = True

    def __contains__(self, number: float) -> bool:
        above = self.low is None or (number >= self.low if self.has_low else number > self.low)
        return above and (
            self.high is None or (number <= self.high if self.has_high else number < self.high)
        )


@dataclass(frozen=True, slots=True)
class Recurring:
    """Days that come again, such as Christmas; None is any.

    Attributes:
        year: The year.
        month: The month, from 1.
        day: The day of the month, from 1.
    """

    year: int | None = None
    month: int | None = None
    day: int | None = None


@dataclass(frozen=True, slots=True)
class Near:
    """Places around a point.

    Attributes:
        metres: How far from it, at most.
        lat: Degrees north of the point; None: where a photo was taken.
        lon: Degrees east of it.
        path: That photo.
    """

    metres: float
    lat: float | None = None
    lon: float | None = None
    path: str = ""


Value: TypeAlias = Text | Range | Recurring | Near


@dataclass(frozen=True, slots=True)
class Term:
    """A tag.

    Attributes:
        parts: Its text, split where a ``*`` stands for any letters.
        confidence: How sure the model must have been; None: however sure, or the user's.
    """

    parts: tuple[str, ...]
    confidence: Range | None = None

    @property
    def text(self) -> str:
        """The tag as a user may write it, without quotes."""
        return "*".join(self.parts)

    def matches(self, name: str) -> bool:
        """Return whether it matches a tag, given by its `comparison_key`."""
        return _matches(self.parts, name)


@dataclass(frozen=True, slots=True)
class Field:
    """A condition on something else than tags: any of its values must be met.

    Attributes:
        name: Its name, of `fields.FIELDS`.
        values: What is looked for; one or more.
        confidence: With ``tag:``, ``auto:`` and ``scored:``, how sure the model must have been.
        position: Where it stands in the query, from 1.
    """

    name: str
    values: tuple[Value, ...]
    confidence: Range | None = None
    position: int = field(default=0, compare=False)

    @property
    def texts(self) -> tuple[Text, ...]:
        """Those of the values that are texts."""
        return tuple(value for value in self.values if isinstance(value, Text))


@dataclass(frozen=True, slots=True)
class Not:
    """Matches what the operand does not match."""

    operand: Expression


@dataclass(frozen=True, slots=True)
class And:
    """Matches what all operands match, of which there are two or more."""

    operands: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Matches what any of the operands matches, of which there are two or more."""

    operands: tuple[Expression, ...]


Expression: TypeAlias = Term | Field | Not | And | Or


def leaves(expression: Expression) -> Iterator[Term | Field]:
    """Yield the tags and fields in an expression, from left to right."""
    if isinstance(expression, Term | Field):
        yield expression
    elif isinstance(expression, Not):
        yield from leaves(expression.operand)
    else:
        for operand in expression.operands:
            yield from leaves(operand)


def terms(expression: Expression) -> Iterator[Term]:
    """Yield the tags in an expression, from left to right."""
    yield from (leaf for leaf in leaves(expression) if isinstance(leaf, Term))


def _matches(parts: tuple[str, ...], name: str) -> bool:
    first, *rest = (comparison_key(part) for part in parts)
    if not rest:
        return name == first
    *middle, last = rest
    if not name.startswith(first):
        return False
    # The leftmost place for each part leaves the most room for the next ones.
    end = len(first)
    for part in middle:
        place = name.find(part, end)
        if place < 0:
            return False
        end = place + len(part)
    return name.endswith(last) and len(name) - len(last) >= end
