"""Photos by their paths, as a query or a command names them."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from photoramd.database.readonly import fetch
from photoramd.errors import QueryError
from photoramd.search.expression import Field


def photo_id(connection: sqlite3.Connection, path: Path) -> int | None:
    """Return the id of a photo; None if photoramd does not know it.

    Args:
        connection: From `open_readonly`.
        path: Its path, or that of a link to it; a relative one is in the present directory.
    """
    # Watched directories are known by their real paths; the photo itself may be a link.
    for each in (Path(os.path.realpath(path.parent), path.name), Path(os.path.realpath(path))):
        rows = fetch(
            connection,
            """SELECT p.id FROM photos p JOIN directories d ON d.id = p.directory_id
               WHERE d.path = ? AND p.name = ?""",
            (os.fsencode(each.parent), os.fsencode(each.name)),
        )
        if rows:
            return int(rows[0][0])
    return None


def find_photo(connection: sqlite3.Connection, path: str, field: Field) -> int:
    """Return the id of a photo.

    Args:
        connection: From `open_readonly`.
        path: Its path; a relative one is in the present directory.
        field: The field that names it.

    Raises:
        QueryError: photoramd does not know it.
    """
    directory, name = os.path.split(os.path.abspath(os.path.expanduser(path)))
    rows = []
    with suppress(ValueError):  # of what no path has: a zero, half a surrogate pair
        place = os.fsencode(os.path.realpath(directory)), os.fsencode(name)
        rows = fetch(
            connection,
            """SELECT p.id FROM photos p JOIN directories d ON d.id = p.directory_id
               WHERE d.path = ? AND p.name = ?""",
            place,
        )
    if not rows:
        raise QueryError(
            f"photoramd does not know {path}",
            field.position,
            remedy=f"name a photo in a watched directory: {field.name}:/photos/IMG_1.jpg",
        )
    return int(rows[0][0])
