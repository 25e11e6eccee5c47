"""Find photos by tags: who gave them, how sure, and what is below them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping

from pyroaring import BitMap

from photoramd.database.conditions import REJECTED
from photoramd.database.derived import Kind
from photoramd.database.readonly import fetch
from photoramd.keywords import comparison_key
from photoramd.search.expression import Field, Range, Text
from photoramd.search.situation import Find, Situation, comparison


def matching(connection: sqlite3.Connection, texts: Iterable[Text]) -> list[int]:
    """Return the labels that any of some texts matches."""
    found: set[int] = set()
    for text in texts:
        first = comparison_key(text.parts[0])
        if not text.is_pattern:
            rows = fetch(connection, "SELECT id, folded FROM labels WHERE folded = ?", (first,))
        elif first:
            # Whatever begins so is, by its bytes, before the last character there is.
            rows = fetch(
                connection,
                """SELECT id, folded FROM labels
                   WHERE folded >= ?1 AND folded <= ?1 || char(0x10FFFF)""",
                (first,),
            )
        else:
            rows = fetch(connection, "SELECT id, folded FROM labels WHERE folded IS NOT NULL")
        found.update(number for number, folded in rows if text.matches(folded))
    return sorted(found)


def with_those_below(connection: sqlite3.Connection, labels: Iterable[int]) -> list[int]:
    """Return labels and all below them in the models' hierarchy, in any spelling."""
    rows = fetch(
        connection,
        """WITH RECURSIVE below(id) AS (
               SELECT value FROM json_each(?)
               UNION SELECT p.label_id FROM below b JOIN labels l ON l.id = b.id
               JOIN labels same ON same.folded = l.folded
               JOIN label_parents p ON p.parent_id = same.id
           )
           SELECT DISTINCT same.id FROM below JOIN labels l ON l.id = below.id
           JOIN labels same ON same.folded = l.folded""",
        (json.dumps(list(labels)),),
    )
    return sorted(number for (number,) in rows)


def by_tag(situation: Situation, field: Field, among: BitMap | None) -> BitMap:
    """Find photos with a tag by anybody, or by the model with a confidence."""
    if field.confidence is None and any(not any(text.parts) for text in field.texts):
        return situation.sets.union(Kind.TAGGED, (0, 1))  # a mere *
    exact, below = _labels(situation, field)
    if field.confidence is not None:
        return _with_confidence(situation, [*exact, *below], field.confidence, among)
    given = situation.sets.union(Kind.MACHINE, [*exact, *below])
    return given | _given_by_user(situation, exact, below)


def by_model(situation: Situation, field: Field, among: BitMap | None) -> BitMap:
    """Find photos with a tag by the model."""
    exact, below = _labels(situation, field)
    if field.confidence is not None:
        return _with_confidence(situation, [*exact, *below], field.confidence, among)
    return situation.sets.union(Kind.MACHINE, [*exact, *below])


def by_user(situation: Situation, field: Field, _: BitMap | None) -> BitMap:
    """Find photos with a tag of the user's own."""
    return _given_by_user(situation, *_labels(situation, field))


def by_rejected(situation: Situation, field: Field, among: BitMap | None) -> BitMap:
    """Find photos from which the user removed a tag by the model."""
    rows = fetch(
        situation.connection,
        f"SELECT photo_id, value FROM ledger WHERE {REJECTED}",  # noqa: S608
    )
    found = BitMap()
    for photo, value in rows:
        key = comparison_key(value)
        if any(text.matches(key) for text in field.texts):
            found.add(photo)
    return found if among is None else found & among


def by_giver(situation: Situation, field: Field, _: BitMap | None) -> BitMap:
    """Find photos with any tag by the model, or by the user."""
    keys = {"machine": 0, "user": 1}
    return situation.sets.union(Kind.TAGGED, [keys[text.text] for text in field.texts])


def by_any_score(situation: Situation, field: Field, among: BitMap | None) -> BitMap:
    """Find photos with a tag by the model that it was so sure of."""
    found = BitMap()
    for each in field.values:
        if isinstance(each, Range):
            condition, values = comparison("confidence", each)
            found |= situation.select("keywords", condition, values, among)
    return found


def by_scored(situation: Situation, field: Field, among: BitMap | None) -> BitMap:
    """Find photos by scores that may be too low for a tag."""
    names = fetch(situation.connection, "SELECT id, folded FROM labels WHERE folded IS NOT NULL")
    # A part of a model may be named in front: "object: dog".
    labels = [
        number
        for number, folded in names
        for text in field.texts
        if text.matches(folded) or text.matches(folded.rpartition(": ")[2])
    ]
    condition, values = comparison("s.score", field.confidence or Range())
    source = "photos p JOIN scores s ON s.result_id = p.result_id"
    wanted = f"s.label_id IN (SELECT value FROM json_each(?)) AND {condition}"  # noqa: S608
    return situation.select(source, wanted, [json.dumps(labels), *values], among, "p.id")


def _with_confidence(
    situation: Situation, labels: Iterable[int], confidence: Range, among: BitMap | None
) -> BitMap:
    condition, values = comparison("confidence", confidence)
    wanted = f"label_id IN (SELECT value FROM json_each(?)) AND {condition}"  # noqa: S608
    return situation.select("keywords", wanted, [json.dumps(list(labels)), *values], among)


def _given_by_user(situation: Situation, exact: list[int], below: list[int]) -> BitMap:
    sets = situation.sets
    return sets.union(Kind.USER, [*exact, *below]) | sets.union(Kind.USER_ABOVE, below)


def _labels(situation: Situation, field: Field) -> tuple[list[int], list[int]]:
    """Return the labels that were asked for with ``=``, and the others with those below them."""
    exact = matching(situation.connection, _texts(field, is_exact=True))
    wide = matching(situation.connection, _texts(field, is_exact=False))
    return exact, with_those_below(situation.connection, wide)


def _texts(field: Field, *, is_exact: bool) -> list[Text]:
    return [text for text in field.texts if text.is_exact == is_exact]


FINDERS: Mapping[str, Find] = {
    "tag": by_tag,
    "auto": by_model,
    "user": by_user,
    "rejected": by_rejected,
    "by": by_giver,
    "score": by_any_score,
    "scored": by_scored,
}
