"""Which photos match a query: sets of ids, combined as the query says.

Tags, folders, cameras and months are sets that the database keeps (`database.derived`); the other
fields are asked of its tables. What is expensive to ask comes last, and about few photos at a time.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pyroaring import BitMap

from photoramd.database.conditions import bounds, within
from photoramd.database.derived import Kind
from photoramd.database.readonly import fetch
from photoramd.search import by_file, by_look, by_similarity, by_tag
from photoramd.search.expression import And, Expression, Field, Not, Or, Term, Text, leaves
from photoramd.search.situation import Find, Situation

_FINDERS: Mapping[str, Find] = {
    **by_tag.FINDERS,
    **by_file.FINDERS,
    **by_look.FINDERS,
    **by_similarity.FINDERS,
}


def evaluate(
    situation: Situation,
    expression: Expression,
    *,
    under: Path | None = None,
    missing: bool = False,
) -> BitMap:
    """Return the ids of the photos that match.

    Args:
        situation: What it is asked with.
        expression: What they must match.
        under: Only photos in this directory or below it; None: everywhere.
        missing: Also photos that are no longer there; a query that names them finds them anyway.

    Raises:
        StoreError: The database cannot be read.
        UsageError: The query names a photo that is not known.
    """
    universe = situation.sets.one(Kind.PRESENT)
    if missing or any(_names_missing(leaf) for leaf in leaves(expression)):
        gone = fetch(situation.connection, "SELECT id FROM photos WHERE state = 'missing'")
        universe = universe | BitMap([number for (number,) in gone])
    if under is not None:
        rows = fetch(
            situation.connection,
            f"SELECT id FROM directories WHERE {within('path')}",  # noqa: S608
            bounds(os.path.realpath(under)),
        )
        folders = situation.sets.union(Kind.DIRECTORY, [number for (number,) in rows])
        universe = universe & folders
    return _Evaluator(situation, universe).find(expression, universe)


def _names_missing(leaf: Term | Field) -> bool:
    return (
        isinstance(leaf, Field)
        and leaf.name in ("is", "state")
        and any(text.text == "missing" for text in leaf.texts)
    )


class _Evaluator:
    def __init__(self, situation: Situation, universe: BitMap) -> None:
        self._situation = situation
        self._universe = universe

    def find(self, expression: Expression, among: BitMap) -> BitMap:
        """Return which of some photos match."""
        if isinstance(expression, And):
            # What is cheap comes first, and narrows what the others look at.
            for operand in sorted(expression.operands, key=_cost):
                if not among:
                    return among
                among = self.find(operand, among)
            return among
        if isinstance(expression, Or):
            return BitMap.union(*(self.find(each, among) for each in expression.operands))
        if isinstance(expression, Not):
            return among - self.find(expression.operand, among)
        narrowed = None if among is self._universe else among
        return self._leaf(expression, narrowed) & among

    def _leaf(self, leaf: Term | Field, among: BitMap | None) -> BitMap:
        if isinstance(leaf, Term):
            text = Text(leaf.parts)
            leaf = Field("tag", (text,), leaf.confidence)
        return _FINDERS[leaf.name](self._situation, leaf, among)


_CHEAP = {"tag", "user", "auto", "by", "path", "folder", "root", "ext", "type", "camera", "lens"}
_DEAR = {"score", "scored", "like", "model", "revision"}


def _cost(expression: Expression) -> int:
    if isinstance(expression, Term):
        return 0 if expression.confidence is None else 2
    if isinstance(expression, Field):
        if expression.confidence is not None or expression.name in _DEAR:
            return 3
        return 0 if expression.name in _CHEAP else 1
    if isinstance(expression, Not):
        return _cost(expression.operand)
    return max(map(_cost, expression.operands))
