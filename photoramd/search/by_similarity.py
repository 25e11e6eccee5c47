"""Find photos that look like another, or show the same picture."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

from pyroaring import BitMap

from photoramd.database.features import features_path
from photoramd.database.readonly import fetch
from photoramd.errors import QueryError
from photoramd.search.expression import Field, Text
from photoramd.search.known_photo import find_photo
from photoramd.search.situation import Find, Situation

MOST = 200
"""Pictures that are like one, at most."""

LEAST_COSINE = 0.3
"""Of ImageNet's photos, 1 % of the pairs of different classes are above it, and 75 % of those of
the same class."""


_TOGETHER = 500
"""Digests in one statement."""


def by_same(situation: Situation, field: Field, among: BitMap | None) -> BitMap:
    """Find photos of the same picture, whatever their metadata and names."""
    found = BitMap()
    for text in field.values:
        if isinstance(text, Text):
            photo = find_photo(situation.connection, text.text, field)
            digest = digest_of(situation.connection, photo)
            found.add(photo)
            if digest is not None:
                found |= photos_of(situation.connection, [digest])[digest]
    return found if among is None else found & among


def by_likeness(situation: Situation, field: Field, among: BitMap | None) -> BitMap:
    """Find photos that look like one, and note how much.

    Raises:
        QueryError: It is not known what that one looks like.
        StoreError: It is not known what any photo looks like.
    """
    # They import numpy, which other queries do not wait for.
    from photoramd.database.vectors import StoredVectors
    from photoramd.models.embedded.projection import features_version
    from photoramd.search.similar import Similar

    connection = situation.connection
    with closing(StoredVectors(_features_of(connection), features_version())) as stored:
        similar = Similar.load(stored)
        rows = None if among is None else similar.rows(_digests_of(connection, among))
        for text in field.values:
            if not isinstance(text, Text):
                continue
            photo = find_photo(connection, text.text, field)
            digest = digest_of(connection, photo)
            vector = None if digest is None else stored.find(digest)
            if vector is None:
                raise QueryError(
                    f"it is not known what {text.text} looks like",
                    field.position,
                    remedy="photoramd run, with the embedded model, looks at it when nothing else"
                    " is to be done",
                )
            near = [n for n in similar.nearest(vector, MOST, rows) if n.cosine >= LEAST_COSINE]
            photos = photos_of(connection, [each.digest for each in near])
            for each in near:
                for number in photos[each.digest]:
                    before = situation.scores.get(number, 0.0)
                    situation.scores[number] = max(before, each.cosine)
    found = BitMap(list(situation.scores))
    return found if among is None else found & among


def photos_of(connection: sqlite3.Connection, digests: Iterable[bytes]) -> dict[bytes, BitMap]:
    """Return the photos of pictures, by the pictures' digests.

    Raises:
        StoreError: The database cannot be read.
    """
    found = {digest: BitMap() for digest in digests}
    wanted = list(found)
    for start in range(0, len(wanted), _TOGETHER):
        some = wanted[start : start + _TOGETHER]
        marks = ", ".join("?" * len(some))
        rows = fetch(
            connection,
            f"""SELECT r.digest, p.id FROM results r JOIN photos p ON p.result_id = r.id
                WHERE r.digest IN ({marks})""",  # noqa: S608
            some,
        )
        for digest, photo in rows:
            found[digest].add(photo)
    return found


def copies_of(connection: sqlite3.Connection, photo: int) -> BitMap:
    """Return the photos of the same picture as one, and that one.

    Raises:
        StoreError: The database cannot be read.
    """
    digest = digest_of(connection, photo)
    same = BitMap() if digest is None else photos_of(connection, [digest])[digest]
    return same | BitMap([photo])


def digest_of(connection: sqlite3.Connection, photo: int) -> bytes | None:
    """Return the digest of a photo's picture; None if that was not looked at yet.

    Raises:
        StoreError: The database cannot be read.
    """
    rows = fetch(
        connection,
        "SELECT r.digest FROM photos p JOIN results r ON r.id = p.result_id WHERE p.id = ?",
        (photo,),
    )
    return rows[0][0] if rows else None


def _digests_of(connection: sqlite3.Connection, photos: BitMap) -> list[bytes]:
    rows = fetch(
        connection,
        """SELECT r.digest FROM json_each(?) chosen CROSS JOIN photos p ON p.id = chosen.value
           JOIN results r ON r.id = p.result_id""",
        (json.dumps(photos.to_array().tolist()),),
    )
    return [digest for (digest,) in rows]


def _features_of(connection: sqlite3.Connection) -> Path:
    """Return the file of features that belongs to an open database."""
    ((path,),) = fetch(connection, "SELECT file FROM pragma_database_list WHERE name = 'main'")
    return features_path(Path(path))


FINDERS: Mapping[str, Find] = {"same": by_same, "like": by_likeness}
