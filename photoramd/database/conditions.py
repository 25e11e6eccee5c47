"""Conditions that several SQL statements share, each written once."""

from __future__ import annotations

import os

QUEUED = "state IN ('pending', 'tagged', 'failed')"
"""Photos that wait for something.

The condition of the partial indexes ``photos_queue`` and ``photos_retry`` (see `migrations`).
SQLite uses them only in statements that contain it to the letter.
"""


def within(column: str) -> str:
    """Return the condition that a column of paths is a directory or below it.

    Its three question marks stand for the `bounds` of the directory. It compares instead of
    matching a pattern, so that an index on the column serves it.
    """
    return f"({column} = ? OR ({column} >= ? AND {column} < ?))"


def bounds(directory: str) -> tuple[bytes, bytes, bytes]:
    """Return what `within` compares with."""
    base = os.fsencode(directory).rstrip(b"/")
    # "0" is the character after "/", so this range holds what begins with "directory/".
    return base or b"/", base + b"/", base + b"0"


PHOTOS_WITHIN = f"directory_id IN (SELECT id FROM directories WHERE {within('path')})"  # noqa: S608
"""Photos in a directory or below it, given by its `bounds`."""

PHOTOS_AT = f"""({PHOTOS_WITHIN} OR name = ? AND directory_id =
                 (SELECT id FROM directories WHERE path = ?))"""  # noqa: S608
"""The photo with a path, or those within a directory of that path: see `location`."""


def location(path: str) -> tuple[bytes, ...]:
    """Return what `PHOTOS_AT` compares with."""
    directory, name = os.path.split(path)
    return (*bounds(path), os.fsencode(name), os.fsencode(directory))


REJECTED = "rejected_at IS NOT NULL AND field IN ('dc:subject', 'photo:dc:subject')"
"""Rows of ``ledger``: keywords that the user took out of the sidecar or the photo."""

UNREAD = "is_read = 0 AND state IN ('tagged', 'written')"
"""Photos whose files are to be read for keywords and what they say of themselves.

The condition of the partial index ``photos_unread``, to the letter.
"""

ODD_NAMES = "(printable IS NOT NULL OR length(CAST(name AS TEXT)) <> length(name))"
"""Photos with other letters than ASCII's in their names, which the index of names compares badly.

The condition of the partial index ``photos_odd_names``, to the letter.
"""

ORPHANED = "state = 'missing' AND created = 1 AND sidecar IS NOT NULL"
"""Photos that are gone and whose sidecar photoramd made.

The condition of the partial index ``photos_orphans``, to the letter.
"""


def suffix_of(name: str) -> str:
    """Return SQL for the suffix of a name, in small letters; empty if it is an odd one.

    Triggers of the migration m060 contain it: it may not change.
    """
    text = f"CAST({name} AS TEXT)"
    found = f"lower(replace({text}, rtrim({text}, replace({text}, '.', '')), ''))"
    return f"iif(length({found}) < 9 AND {found} NOT GLOB '*[^a-z0-9]*', {found}, '')"


def month_of(seconds: str) -> str:
    """Return SQL for the month of a time: 12 x year + month - 1.

    Triggers of the migration m060 contain it: it may not change.
    """
    # strftime rounds to a thousandth, and so the end of a month into the next one.
    whole = f"CAST({seconds} AS INTEGER) - ({seconds} < CAST({seconds} AS INTEGER))"
    year, month = (f"strftime('%{part}', {whole}, 'unixepoch')" for part in "Ym")
    return f"CAST({year} * 12 + {month} - 1 AS INTEGER)"


def shape_of(width: str, height: str) -> str:
    """Return SQL for a photo's shape: 0 for portrait, 1 for landscape, 2 for square.

    Triggers of the migration m060 contain it: it may not change.
    """
    is_portrait, is_landscape = f"{height} > {width} * 1.02", f"{width} > {height} * 1.02"
    return f"CASE WHEN {is_portrait} THEN 0 WHEN {is_landscape} THEN 1 ELSE 2 END"


def is_panorama(width: str, height: str) -> str:
    """Return the SQL condition that a photo is twice as long as wide, or longer.

    Triggers of the migration m060 contain it: it may not change.
    """
    return f"max({width}, {height}) >= 2 * min({width}, {height})"
