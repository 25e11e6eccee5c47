"""Read-only questions to the tag database.

Every function takes a connection from `open_readonly` and raises `StoreError` if the
database cannot answer. Tags are compared without regard to case and to Unicode's several
spellings of one letter; SQLite can do that for ASCII only, so tags become label ids here.
"""

from __future__ import annotations

import difflib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from photoramd.database.columns import path_of
from photoramd.database.conditions import QUEUED
from photoramd.database.readonly import fetch, open_readonly, snapshot
from photoramd.photo import Tag
from photoramd.search.expression import And, Expression, Not, Or, Term, fold, parse, terms
from photoramd.search.sql import select_photos

__all__ = [
    "Details",
    "Match",
    "Reason",
    "Root",
    "advise",
    "count",
    "counts",
    "find",
    "open_readonly",
    "parse",
    "photo",
    "reasons",
    "roots",
    "suggest",
    "tags",
]

STATES = ("pending", "tagged", "written", "failed", "missing")


@dataclass(frozen=True, slots=True)
class Match:
    """A photo that a query found.

    Attributes:
        path: Absolute.
        tags: Its keywords, the most confident first.
        state: ``tagged`` or ``written``, mostly.
    """

    path: Path
    tags: tuple[Tag, ...]
    state: str


@dataclass(frozen=True, slots=True)
class Details:
    """All that is known of one photo; times are Unix seconds.

    Attributes:
        path: Absolute.
        state: One of `STATES`.
        tags: Its keywords, the most confident first.
        scores: Every stored score of the model, kept as a keyword or not, highest first.
        model: The model that tagged it, None before that.
        revision: The model's revision.
        sidecar: The file that holds its keywords, if one was written.
        reason: Why it failed or waits, if it does.
        attempts: How often it failed.
        next_attempt: When it is tried again, if it is.
        size: Bytes of the file.
        found_at: When it was found.
        tagged_at: When it was tagged.
        written_at: When its keywords were written.
        undone_at: When the user took them back, until `retag` asks for them.
    """

    path: Path
    state: str
    tags: tuple[Tag, ...]
    scores: tuple[Tag, ...]
    model: str | None
    revision: str | None
    sidecar: Path | None
    reason: str | None
    attempts: int
    next_attempt: float | None
    size: int
    found_at: float
    tagged_at: float | None
    written_at: float | None
    undone_at: float | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why photos failed or wait for another attempt, how many, and one of them."""

    text: str
    photos: int
    example: Path


@dataclass(frozen=True, slots=True)
class Root:
    """A watched directory as the daemon last saw it; times are Unix seconds.

    ``raw_left_out`` is the number of RAW files there that cannot be decoded here.
    """

    path: Path
    health: str
    reason: str | None
    remedy: str | None
    since: float
    scanned_at: float | None
    raw_left_out: int = 0


# Finding


def find(
    connection: sqlite3.Connection,
    expression: Expression,
    *,
    limit: int | None = None,
    under: Path | None = None,
    missing: bool = False,
) -> list[Match]:
    """Return the photos that match, by directory, then by name.

    Args:
        connection: From `open_readonly`.
        expression: From `parse`.
        limit: The most photos to return.
        under: Only photos in this directory or below it.
        missing: Also photos that are no longer there.
    """
    with snapshot(connection):
        labels = _labels(connection)
        photos, parameters = select_photos(expression, labels, under, missing)
        rows = fetch(
            connection,
            f"""{photos}
                SELECT directory, name, state, (
                    SELECT json_group_array(json_array(label_id, confidence))
                    FROM keywords WHERE photo_id = hits.id
                ) FROM (SELECT * FROM hits ORDER BY directory, name LIMIT ?) hits""",  # noqa: S608
            [*parameters, -1 if limit is None else limit],
        )
    return [
        Match(path_of(directory, name), _tags(json.loads(keywords), labels), state)
        for directory, name, state, keywords in rows
    ]


def count(
    connection: sqlite3.Connection,
    expression: Expression,
    *,
    under: Path | None = None,
    missing: bool = False,
) -> int:
    """Return how many photos match; the arguments are those of `find`."""
    photos, parameters = select_photos(expression, _labels(connection), under, missing)
    sql = f"{photos} SELECT count(*) FROM hits"  # noqa: S608
    return int(fetch(connection, sql, parameters)[0][0])


def _labels(connection: sqlite3.Connection) -> dict[int, str]:
    return dict(fetch(connection, "SELECT id, name FROM labels"))


def _tags(pairs: Iterable[Sequence[Any]], labels: dict[int, str]) -> tuple[Tag, ...]:
    """Return tags from pairs of label id and confidence, the most confident first."""
    found = [Tag(labels[number], confidence) for number, confidence in pairs]
    return tuple(sorted(found, key=lambda tag: (-tag.confidence, tag.name)))


# Looking up


def photo(connection: sqlite3.Connection, path: Path) -> Details | None:
    """Return what is known of one photo; None if nothing is."""
    # The daemon knows directories by their real paths; the photo itself may be a link.
    absolute = Path(os.path.realpath(path.parent), path.name)
    with snapshot(connection):
        rows = fetch(
            connection,
            """SELECT p.id, p.result_id, p.state, r.model, r.revision, p.sidecar, p.reason,
                      p.attempts, p.next_attempt, p.size, p.found_at, p.tagged_at, p.written_at,
                      p.undone_at
               FROM photos p JOIN directories d ON d.id = p.directory_id
               LEFT JOIN results r ON r.id = p.result_id
               WHERE d.path = ? AND p.name = ?""",
            [os.fsencode(absolute.parent), os.fsencode(absolute.name)],
        )
        if not rows:
            return None
        number, result, state, model, revision, sidecar, *rest = rows[0]
        labels = _labels(connection)
        keywords = fetch(
            connection, "SELECT label_id, confidence FROM keywords WHERE photo_id = ?", [number]
        )
        scores = fetch(
            connection, "SELECT label_id, score FROM scores WHERE result_id = ?", [result]
        )
    return Details(
        absolute,
        state,
        _tags(keywords, labels),
        _tags(scores, labels),
        model,
        revision,
        None if sidecar is None else Path(os.fsdecode(sidecar)),
        *rest,
    )


def counts(connection: sqlite3.Connection) -> dict[str, int]:
    """Return how many photos are in each of `STATES`, in that order."""
    found = dict(fetch(connection, "SELECT state, count(*) FROM photos GROUP BY state"))
    return {state: found.get(state, 0) for state in STATES}


def reasons(connection: sqlite3.Connection, limit: int = 10) -> list[Reason]:
    """Return why photos failed or are tried again, the most frequent reason first."""
    rows = fetch(
        connection,
        f"""SELECT d.path, p.name, g.reason, g.photos
            FROM (SELECT reason, count(*) AS photos, min(id) AS example FROM photos
                  WHERE reason IS NOT NULL AND {QUEUED} GROUP BY reason) g
            JOIN photos p ON p.id = g.example JOIN directories d ON d.id = p.directory_id
            ORDER BY g.photos DESC, g.reason LIMIT ?""",  # noqa: S608
        [limit],
    )
    return [
        Reason(text, photos, path_of(directory, name)) for directory, name, text, photos in rows
    ]


def roots(connection: sqlite3.Connection) -> list[Root]:
    """Return the watched directories as the daemon last saw them, by path."""
    rows = fetch(
        connection,
        "SELECT path, health, reason, remedy, since, scanned_at, raw_left_out FROM roots"
        " ORDER BY path",
    )
    return [Root(Path(os.fsdecode(path)), *rest) for path, *rest in rows]


def tags(connection: sqlite3.Connection) -> list[tuple[str, int]]:
    """Return every tag in use and how many photos have it, the most frequent first."""
    # Counting in the index and taking off the few that are missing costs a tenth of a join;
    # CROSS keeps SQLite from starting with the many.
    rows = fetch(
        connection,
        """WITH lost AS (SELECT k.label_id, count(*) AS photos
                         FROM photos p CROSS JOIN keywords k ON k.photo_id = p.id
                         WHERE p.state = 'missing' GROUP BY k.label_id)
           SELECT name, count FROM (
               SELECT l.name, (SELECT count(*) FROM keywords WHERE label_id = l.id)
                              - coalesce(lost.photos, 0) AS count
               FROM labels l LEFT JOIN lost ON lost.label_id = l.id
           ) WHERE count > 0 ORDER BY count DESC, name""",
    )
    return [(name, photos) for name, photos in rows]


# Advice


def suggest(connection: sqlite3.Connection, tag: str, limit: int = 5) -> list[str]:
    """Return tags in use that the writer of ``tag`` may have meant, the best first."""
    used = _used(connection)
    wanted = fold(tag.replace("*", " "))
    containing = [name for name in used if wanted and wanted in used[name]]
    whole_words = [name for name in containing if set(wanted.split()) <= set(used[name].split())]
    originals = {folded: name for name, folded in used.items()}
    similar = difflib.get_close_matches(wanted, originals, n=limit, cutoff=0.7)
    found = [*whole_words, *(originals[name] for name in similar), *containing]
    return list(dict.fromkeys(found))[:limit]


def advise(connection: sqlite3.Connection, expression: Expression) -> list[str]:
    """Return sentences for a user whose query found nothing or too little.

    They name tags that no photo has, with those they may stand for, and tags of two words
    that were written without quotes.
    """
    used = _used(connection)
    sentences = []
    for term in dict.fromkeys(terms(expression)):
        if not any(term.matches(name) for name in used.values()):
            close = ", ".join(f'"{name}"' for name in suggest(connection, term.text))
            end = f"; there is {close}" if close else ""
            sentences.append(f'no photo is tagged "{term.text}"{end}')
    spelling = {folded: name for name, folded in used.items()}
    sentences += [
        f'"{spelling[phrase]}" is a tag: write it in quotes'
        for phrase in dict.fromkeys(map(fold, _phrases(expression)))
        if phrase in spelling
    ]
    return sentences


def _used(connection: sqlite3.Connection) -> dict[str, str]:
    """Return the tags in use, and how each is compared."""
    sql = """SELECT name FROM labels
             WHERE EXISTS (SELECT 1 FROM keywords WHERE label_id = labels.id) ORDER BY name"""
    return {name: fold(name) for (name,) in fetch(connection, sql)}


def _phrases(expression: Expression) -> Iterator[str]:
    """Yield what two to four tags side by side would be as one tag."""
    if isinstance(expression, Not):
        yield from _phrases(expression.operand)
    elif isinstance(expression, And | Or):
        for operand in expression.operands:
            yield from _phrases(operand)
    if isinstance(expression, And):
        for start in range(len(expression.operands)):
            words: list[str] = []
            for operand in expression.operands[start : start + 4]:
                if not isinstance(operand, Term):
                    break
                words.append(operand.text)
                if len(words) > 1:
                    yield " ".join(words)
