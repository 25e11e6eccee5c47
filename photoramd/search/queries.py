"""Read-only queries of the database.

Every function takes a connection from `open_readonly` and raises `StoreError` if the database
cannot answer. Tags are compared without regard to case and Unicode normalisation; SQLite does
that for ASCII only, so tags become label ids here.
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

from photoramd.clock import UnixTime
from photoramd.database.columns import path_of, state_of
from photoramd.database.conditions import QUEUED, REJECTED
from photoramd.database.health import RootState
from photoramd.database.readonly import fetch, open_readonly, snapshot
from photoramd.metadata.changes import Place
from photoramd.photo import PhotoState, Tag
from photoramd.search.expression import And, Expression, Not, Or, Term, comparison_key, parse, terms
from photoramd.search.places import Reason, knows_places
from photoramd.search.sql import select_photos

__all__ = [
    "Details",
    "Match",
    "Reason",
    "RootStatus",
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


@dataclass(frozen=True, slots=True)
class Match:
    """A photo that a query found.

    Attributes:
        path: Absolute.
        tags: Its keywords, the most confident first.
        state: Usually `PhotoState.TAGGED` or `PhotoState.WRITTEN`.
    """

    path: Path
    tags: tuple[Tag, ...]
    state: PhotoState


@dataclass(frozen=True, slots=True)
class Details:
    """Everything known about one photo.

    Attributes:
        path: Absolute.
        state: What it waits for.
        tags: Its keywords, the most confident first.
        scores: Every stored score of the model, chosen as a keyword or not, highest first.
        model: The model that tagged it, None before that.
        revision: The model's revision.
        sidecar: The file that holds its keywords, if one was written.
        reason: Why it failed or is retried, if so.
        attempts: How often it failed.
        next_attempt: When it is tried again, if so.
        size: Of the file, in bytes.
        found_at: When it was found.
        tagged_at: When it was tagged.
        written_at: When its keywords were written.
        undone_at: When the user took them back, until `retag` asks for them.
        place: Where its keywords are: ``sidecar`` or ``photo``; None if nowhere.
        fallback: Why they are not inside the photo, although they should be.
        rejected: Keywords that the user took out of the file.
    """

    path: Path
    state: PhotoState
    tags: tuple[Tag, ...]
    scores: tuple[Tag, ...]
    model: str | None
    revision: str | None
    sidecar: Path | None
    reason: str | None
    attempts: int
    next_attempt: UnixTime | None
    size: int
    found_at: UnixTime
    tagged_at: UnixTime | None
    written_at: UnixTime | None
    undone_at: UnixTime | None = None
    place: Place | None = None
    fallback: str | None = None
    rejected: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RootStatus:
    """A watched directory as the daemon last saw it.

    Attributes:
        path: Absolute.
        health: Its state.
        reason: Why it is not online.
        remedy: What the user can do about it.
        since: When this state began.
        scanned_at: When the last scan was complete.
        raw_left_out: The number of RAW files there that cannot be decoded here.
        scanning_since: When the present scan began; None if none runs, or it has just begun.
        scanned_photos: How many photos that has seen.
    """

    path: Path
    health: RootState
    reason: str | None
    remedy: str | None
    since: UnixTime
    scanned_at: UnixTime | None
    raw_left_out: int = 0
    scanning_since: UnixTime | None = None
    scanned_photos: int | None = None


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
        limit: The greatest number of photos.
        under: Only photos in this directory or below it.
        missing: Include missing photos.
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
        Match(path_of(directory, name), _tags(json.loads(keywords), labels), state_of(state))
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
    has_places = knows_places(connection)
    with snapshot(connection):
        rows = fetch(
            connection,
            f"""SELECT p.id, p.result_id, p.state, r.model, r.revision, p.sidecar, p.reason,
                      p.attempts, p.next_attempt, p.size, p.found_at, p.tagged_at, p.written_at,
                      p.undone_at, {"p.place, p.fallback" if has_places else "NULL, NULL"}
               FROM photos p JOIN directories d ON d.id = p.directory_id
               LEFT JOIN results r ON r.id = p.result_id
               WHERE d.path = ? AND p.name = ?""",  # noqa: S608
            [os.fsencode(absolute.parent), os.fsencode(absolute.name)],
        )
        if not rows:
            return None
        number, result, state, model, revision, sidecar, *rest, place, fallback = rows[0]
        labels = _labels(connection)
        keywords = fetch(
            connection, "SELECT label_id, confidence FROM keywords WHERE photo_id = ?", [number]
        )
        scores = fetch(
            connection, "SELECT label_id, score FROM scores WHERE result_id = ?", [result]
        )
        rejected = fetch(
            connection,
            f"SELECT DISTINCT value FROM ledger WHERE photo_id = ? AND {REJECTED} ORDER BY value",  # noqa: S608
            [number],
        )
    rest += [None if place is None else Place(place), fallback]
    rest.append(tuple(value for (value,) in rejected))
    return Details(
        absolute,
        state_of(state),
        _tags(keywords, labels),
        _tags(scores, labels),
        model,
        revision,
        None if sidecar is None else Path(os.fsdecode(sidecar)),
        *rest,
    )


def counts(connection: sqlite3.Connection) -> dict[PhotoState, int]:
    """Return how many photos are in each state, in the order of `PhotoState`."""
    found = dict(fetch(connection, "SELECT state, count(*) FROM photos GROUP BY state"))
    return {state: found.get(state, 0) for state in PhotoState}


def reasons(connection: sqlite3.Connection, limit: int = 10) -> list[Reason]:
    """Return why photos failed or are retried, the most frequent reason first."""
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


def roots(connection: sqlite3.Connection) -> list[RootStatus]:
    """Return the watched directories as the daemon last saw them, by path."""
    columns = "path, health, reason, remedy, since, scanned_at, raw_left_out"
    if knows_places(connection):  # and so it knows these
        columns += ", scanning_since, scanned_photos"
    rows = fetch(connection, f"SELECT {columns} FROM roots ORDER BY path")  # noqa: S608
    return [
        RootStatus(Path(os.fsdecode(path)), RootState(health), *rest)
        for path, health, *rest in rows
    ]


def to_renew(connection: sqlite3.Connection) -> int:
    """Return how many photos have tags of an earlier revision of the present model.

    Raises:
        StoreError: The database cannot be read.
    """
    ((count,),) = fetch(
        connection,
        """SELECT count(*) FROM photos WHERE state <> 'missing' AND undone_at IS NULL
           AND result_id IN (SELECT r.id FROM results r JOIN present_model m
                             ON r.model = m.model AND r.revision <> m.revision)""",
    )
    return int(count)


def seconds_left(connection: sqlite3.Connection, waiting: int, now: UnixTime) -> float | None:
    """Return how long the model will take for the photos that wait, as fast as it was lately.

    None if it tagged too few in the last minutes to tell.
    """
    ((tagged, first),) = fetch(
        connection,
        "SELECT count(*), min(tagged_at) FROM photos WHERE tagged_at > ?",
        [now - _LATELY_SECONDS],
    )
    return None if tagged < _ENOUGH else waiting * (now - first) / tagged


_LATELY_SECONDS, _ENOUGH = 300.0, 10


def tags(connection: sqlite3.Connection) -> list[tuple[str, int]]:
    """Return every tag in use and how many photos have it, the most frequent first."""
    # Counting in the index and subtracting the few missing photos takes a tenth of the time of a
    # join; CROSS keeps SQLite from beginning with the large table.
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
    """Return tags in use that a user who wrote ``tag`` may have meant, the best first."""
    used = _used(connection)
    wanted = comparison_key(tag.replace("*", " "))
    containing = [name for name in used if wanted and wanted in used[name]]
    whole_words = [name for name in containing if set(wanted.split()) <= set(used[name].split())]
    originals = {folded: name for name, folded in used.items()}
    similar = difflib.get_close_matches(wanted, originals, n=limit, cutoff=0.7)
    found = [*whole_words, *(originals[name] for name in similar), *containing]
    return list(dict.fromkeys(found))[:limit]


def advise(connection: sqlite3.Connection, expression: Expression) -> list[str]:
    """Return advice, in sentences, for a query that found nothing or too little.

    It names tags that no photo has, with similar ones in use, and tags of several words that
    were written without quotes.
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
        for phrase in dict.fromkeys(map(comparison_key, _phrases(expression)))
        if phrase in spelling
    ]
    return sentences


def _used(connection: sqlite3.Connection) -> dict[str, str]:
    """Return the tags in use, each with its `comparison_key`."""
    sql = """SELECT name FROM labels
             WHERE EXISTS (SELECT 1 FROM keywords WHERE label_id = labels.id) ORDER BY name"""
    return {name: comparison_key(name) for (name,) in fetch(connection, sql)}


def _phrases(expression: Expression) -> Iterator[str]:
    """Yield two to four tags side by side as one tag."""
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
