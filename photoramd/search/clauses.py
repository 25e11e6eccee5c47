"""Queries as texts that are put together: narrowed by a click, or taken apart into chips.

A clause is what may stand beside others, all of which must hold: ``dog``, ``taken:2024``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from photoramd.errors import QueryError
from photoramd.search.completion import quoted
from photoramd.search.parser import parse, parts

if TYPE_CHECKING:
    from typing import Self


@dataclass(frozen=True, slots=True)
class Clauses:
    """A query as clauses that all hold; none finds everything.

    Attributes:
        texts: The clauses.
    """

    texts: tuple[str, ...] = ()

    @classmethod
    def of(cls, query: str, searches: Mapping[str, str] | None = None) -> Self:
        """Take a query apart; blanks only are a query for everything.

        Raises:
            QueryError: It has an error.
        """
        if not query.strip():
            return cls()
        parse(query, searches=searches)
        return cls(tuple(parts(query, searches=searches)))

    def __str__(self) -> str:
        return " ".join(self.texts)

    def has(self, clause: str) -> bool:
        """Return whether a clause is one of these, in any spelling of its quotes."""
        return self._place(clause) is not None

    def without(self, clause: str) -> Clauses:
        """Return these but for a clause."""
        place = self._place(clause)
        return self if place is None else self._but(place)

    def narrowed(self, clause: str) -> Clauses:
        """Return these and a clause."""
        return self if self.has(clause) else Clauses((*self.texts, clause))

    def excluding(self, clause: str) -> Clauses:
        """Return these, and that a clause does not hold."""
        return Clauses((*self.without(clause).texts, f"-{clause}"))

    def each(self) -> Iterator[tuple[str, Clauses]]:
        """Yield each clause with the others."""
        for place, text in enumerate(self.texts):
            yield text, self._but(place)

    def _but(self, place: int) -> Clauses:
        return Clauses(self.texts[:place] + self.texts[place + 1 :])

    def _place(self, clause: str) -> int | None:
        if clause in self.texts:
            return self.texts.index(clause)
        wanted = parse(clause)
        for place, text in enumerate(self.texts):
            # What has an @name cannot be read without the saved searches, and is none of these.
            if len(text) < 2 * len(clause) + 8 and _reads_as(text, wanted):
                return place
        return None


def _reads_as(text: str, wanted: object) -> bool:
    try:
        return parse(text) == wanted
    except QueryError:
        return False


def field_clause(field: str, text: str) -> str:
    """Return the clause that a field has a value, which is a text and no pattern."""
    return f"{field}:{quoted(text)}"


def exact_clause(field: str, text: str) -> str:
    """Return the clause that a field is all of a text."""
    return f"{field}:={quoted(text)}"


def folder_clause(path: str) -> str:
    """Return the clause that photos are in a folder, given by its printable path, or below it."""
    return field_clause("path", path.rstrip("/") + "/")
