"""Groups of photos that show the same picture, or nearly the same."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pyroaring import BitMap

from photoramd.database.columns import path_of
from photoramd.database.features import features_path
from photoramd.database.readonly import fetch
from photoramd.search.by_similarity import photos_of


@dataclass(frozen=True, slots=True)
class Copy:
    """A photo in a group.

    Attributes:
        path: Absolute.
        size: Of the file, in bytes.
        width: Of the picture, in pixels; None if it is not known.
        height: Likewise.
    """

    path: Path
    size: int
    width: int | None
    height: int | None


@dataclass(frozen=True, slots=True)
class Group:
    """Photos that show the same.

    Attributes:
        is_same: Whether the pictures are the same to the pixel, as the model sees them; else they
            are nearly the same.
        copies: Two or more, the largest picture first.
    """

    is_same: bool
    copies: tuple[Copy, ...]


def same_pictures(connection: sqlite3.Connection, among: BitMap) -> Iterator[Group]:
    """Yield groups of photos of the same picture.

    Args:
        connection: From `open_readonly`.
        among: Only these photos.

    Raises:
        StoreError: The database cannot be read.
    """
    rows = fetch(
        connection,
        """SELECT r.digest, p.id FROM photos p JOIN results r ON r.id = p.result_id
           WHERE r.digest IN (
               SELECT s.digest FROM photos q JOIN results s ON s.id = q.result_id
               GROUP BY s.digest HAVING count(*) > 1)
           ORDER BY r.digest, p.id""",
    )
    groups: dict[bytes, list[int]] = {}
    for digest, photo in rows:
        if photo in among:
            groups.setdefault(digest, []).append(photo)
    for photos in groups.values():
        if len(photos) > 1:
            yield Group(True, _copies(connection, photos))


def similar_pictures(
    connection: sqlite3.Connection,
    database: Path,
    among: BitMap,
    progress: Callable[[float], object] = lambda _: None,
) -> Iterator[Group]:
    """Yield groups of photos whose pictures are nearly the same; seconds to minutes.

    Args:
        connection: From `open_readonly`.
        database: The database's file.
        among: Only these photos.
        progress: Called with the part of the comparisons that is done, from 0 to 1.

    Raises:
        StoreError: The database cannot be read, or it is not known what photos look like.
    """
    # They import numpy.
    from photoramd.database.vectors import StoredVectors
    from photoramd.models.embedded.projection import features_version
    from photoramd.search.near_duplicates import near_duplicates
    from photoramd.search.similar import Similar

    with closing(StoredVectors(features_path(database), features_version())) as stored:
        groups = near_duplicates(Similar.load(stored), progress=progress)
    for digests in groups:
        by_digest = photos_of(connection, digests)
        chosen = {digest: photos & among for digest, photos in by_digest.items()}
        if sum(bool(photos) for photos in chosen.values()) > 1:
            yield Group(False, _copies(connection, [n for some in chosen.values() for n in some]))


def _copies(connection: sqlite3.Connection, photos: list[int]) -> tuple[Copy, ...]:
    rows = fetch(
        connection,
        """SELECT d.path, p.name, p.size, l.width, l.height
           FROM json_each(?) chosen CROSS JOIN photos p ON p.id = chosen.value
           JOIN directories d ON d.id = p.directory_id LEFT JOIN looks l ON l.photo_id = p.id""",
        (json.dumps(photos),),
    )
    found = [Copy(path_of(directory, name), *rest) for directory, name, *rest in rows]
    found.sort(key=lambda copy: (-(copy.width or 0) * (copy.height or 0), -copy.size, copy.path))
    return tuple(found)
