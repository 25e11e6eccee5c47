"""Read-only queries of the database.

Every function takes a connection from `open_readonly` and raises `StoreError` if the database
cannot answer. Tags are compared without regard to case and Unicode normalisation.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from photoramd.database.columns import path_of, state_of
from photoramd.database.readonly import fetch, open_readonly, snapshot
from photoramd.photo import PhotoState, Tag, surest_first
from photoramd.search.advice import advise, suggest
from photoramd.search.by_tag import matching, with_those_below
from photoramd.search.details import Details, photo
from photoramd.search.evaluation import evaluate
from photoramd.search.expression import And, Expression, Field, Not, Or, Text, leaves
from photoramd.search.order import cursor_of, ordered
from photoramd.search.overview import (
    RootStatus,
    counts,
    reasons,
    roots,
    seconds_left,
    to_read,
    to_renew,
)
from photoramd.search.parser import parse
from photoramd.search.places import Reason
from photoramd.search.sets import Sets
from photoramd.search.situation import Situation
from photoramd.search.sorts import Sort
from photoramd.search.tags import tags

__all__ = [
    "Details",
    "Match",
    "Question",
    "Reason",
    "RootStatus",
    "advise",
    "count",
    "counts",
    "find",
    "matches",
    "open_readonly",
    "parse",
    "photo",
    "reasons",
    "roots",
    "seconds_left",
    "suggest",
    "tags",
    "to_read",
    "to_renew",
]

_PAGE = 1_000
"""Photos that are read together."""


@dataclass(frozen=True, slots=True)
class Match:
    """A photo that a query found.

    Attributes:
        path: Absolute.
        tags: Its keywords by the model, the most confident first.
        state: Usually `PhotoState.TAGGED` or `PhotoState.WRITTEN`.
        user_tags: The user's own keywords, by name.
        taken: Seconds since 1970 on the camera's clock; None if it is not known.
        cursor: Stands for its place in the order; empty for ``random``.
    """

    path: Path
    tags: tuple[Tag, ...]
    state: PhotoState
    user_tags: tuple[str, ...] = ()
    taken: float | None = None
    cursor: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Question:
    """A query, and in which order and how far it is answered.

    Attributes:
        expression: From `parse`.
        sort: The order: see `order.ordered`.
        limit: The greatest number of photos.
        after: Begin behind the photo with this cursor.
        under: Only photos in this directory or below it.
        missing: Include missing photos.
        seed: For ``random``: the same gives the same order.
    """

    expression: Expression
    sort: Sort = "path"
    limit: int | None = None
    after: str | None = None
    under: Path | None = None
    missing: bool = False
    seed: int | None = None


def find(
    connection: sqlite3.Connection,
    expression: Expression,
    *,
    limit: int | None = None,
    under: Path | None = None,
    missing: bool = False,
) -> list[Match]:
    """Return the photos that match, by directory, then by name; see `Question`."""
    question = Question(expression, limit=limit, under=under, missing=missing)
    return list(matches(connection, question))


def matches(
    connection: sqlite3.Connection, question: Question, sets: Sets | None = None
) -> Generator[Match, None, None]:
    """Yield the photos that match, in one state of the database; close it before the connection.

    Args:
        connection: From `open_readonly`.
        question: The query.
        sets: Those of the connection, if they are read already.
    """
    with snapshot(connection):
        situation = _situation(connection, sets)
        hits = evaluate(
            situation, question.expression, under=question.under, missing=question.missing
        )
        scores = None
        if question.sort == "score":
            scores = situation.scores or scores_of(situation, question.expression)
        places = ordered(
            situation, hits, question.sort,
            after=question.after, scores=scores, seed=question.seed,
        )  # fmt: skip
        places = islice(places, question.limit)
        while page := list(islice(places, _PAGE)):
            rows = _rows(connection, [place.photo_id for place in page])
            for place in page:
                cursor = "" if question.sort == "random" else cursor_of(question.sort, place)
                yield Match(*rows[place.photo_id], cursor)


def count(
    connection: sqlite3.Connection,
    expression: Expression,
    *,
    under: Path | None = None,
    missing: bool = False,
) -> int:
    """Return how many photos match; see `Question`."""
    with snapshot(connection):
        situation = _situation(connection, None)
        return len(evaluate(situation, expression, under=under, missing=missing))


def _situation(connection: sqlite3.Connection, sets: Sets | None) -> Situation:
    if sets is None:
        sets = Sets(connection)
    else:
        sets.refresh()
    return Situation(connection, sets)


def _rows(
    connection: sqlite3.Connection, ids: list[int]
) -> dict[int, tuple[Path, tuple[Tag, ...], PhotoState, tuple[str, ...], float | None]]:
    """Return what `Match` has, but for the cursor."""
    rows = fetch(
        connection,
        """SELECT p.id, d.path, p.name, p.state, l.taken,
                  (SELECT json_group_array(json_array(label_id, confidence))
                   FROM keywords WHERE photo_id = p.id),
                  (SELECT json_group_array(label_id)
                   FROM user_keywords WHERE photo_id = p.id AND NOT is_above)
           FROM json_each(?) chosen CROSS JOIN photos p ON p.id = chosen.value
           JOIN directories d ON d.id = p.directory_id LEFT JOIN looks l ON l.photo_id = p.id""",
        (json.dumps(ids),),
    )
    found = [(*row[:5], json.loads(row[5]), json.loads(row[6])) for row in rows]
    numbers = {number for *_, given, own in found for number in (*(n for n, _ in given), *own)}
    names = _names(connection, numbers)
    return {
        number: (
            path_of(directory, name),
            tuple(surest_first(Tag(names[label], confidence) for label, confidence in given)),
            state_of(state),
            tuple(sorted(names[label] for label in own)),
            taken,
        )
        for number, directory, name, state, taken, given, own in found
    }


def _names(connection: sqlite3.Connection, labels: Iterable[int]) -> dict[int, str]:
    sql = "SELECT id, name FROM labels WHERE id IN (SELECT value FROM json_each(?))"
    return dict(fetch(connection, sql, (json.dumps(sorted(labels)),)))


def scores_of(situation: Situation, expression: Expression | None) -> dict[int, float]:
    """Return the greatest confidence of the tags that a query asks for, or of all, by photo.

    Raises:
        StoreError: The database cannot be read.
    """
    texts: list[Text] = []
    for leaf in () if expression is None else leaves(_without_negated(expression)):
        if isinstance(leaf, Field):
            texts += leaf.texts if leaf.name in ("tag", "auto") else ()
        else:
            texts.append(Text(leaf.parts))
    connection = situation.connection
    labels = with_those_below(connection, matching(connection, texts))
    sql = "SELECT photo_id, max(confidence) FROM keywords"
    if labels:
        sql += " WHERE label_id IN (SELECT value FROM json_each(?))"
    parameters = (json.dumps(labels),) if labels else ()
    return dict(fetch(connection, f"{sql} GROUP BY photo_id", parameters))


def _without_negated(expression: Expression) -> Expression:
    """Return an expression in which what is negated is not looked at."""
    if isinstance(expression, Not):
        return Field("by", ())
    if isinstance(expression, And | Or):
        return type(expression)(tuple(_without_negated(each) for each in expression.operands))
    return expression
