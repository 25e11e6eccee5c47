"""What a page shows of photos: a few statements for all of them."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from photoramd.database.columns import fingerprint_of, state_of
from photoramd.database.readonly import fetch
from photoramd.errors import printable
from photoramd.photo import Fingerprint, PhotoState, Tag, surest_first


@dataclass(frozen=True, slots=True)
class PhotoRow:
    """A photo.

    Attributes:
        id: Its number in the database.
        folder: Of the file; printable.
        name: Of the file; printable.
        width: In pixels; None: not known.
        height: Likewise.
        taken: Seconds since 1970 on the camera's clock; None: not known.
        state: What it waits for.
        tags: By the model, the most confident first.
        user_tags: The user's own, by name.
        fingerprint: Of the file when it was last seen.
    """

    id: int
    folder: str
    name: str
    width: int | None
    height: int | None
    taken: float | None
    state: PhotoState
    tags: tuple[Tag, ...]
    user_tags: tuple[str, ...]
    fingerprint: Fingerprint


def photo_rows(connection: sqlite3.Connection, ids: Sequence[int]) -> list[PhotoRow]:
    """Return photos in the order of their ids, without those that are not known.

    Raises:
        StoreError: The database cannot be read.
    """
    rows = fetch(
        connection,
        """SELECT p.id, d.path, p.name, l.width, l.height, l.taken, p.state,
                  (SELECT json_group_array(json_array(t.name, k.confidence))
                   FROM keywords k JOIN labels t ON t.id = k.label_id WHERE k.photo_id = p.id),
                  (SELECT json_group_array(t.name)
                   FROM user_keywords k JOIN labels t ON t.id = k.label_id
                   WHERE k.photo_id = p.id AND NOT k.is_above),
                  p.size, p.mtime_ns, p.device, p.inode
           FROM json_each(?) chosen CROSS JOIN photos p ON p.id = chosen.value
           JOIN directories d ON d.id = p.directory_id LEFT JOIN looks l ON l.photo_id = p.id""",
        (json.dumps(list(ids)),),
    )
    found = {}
    for number, folder, name, width, height, taken, state, given, own, *fingerprint in rows:
        tags = [Tag(name, confidence) for name, confidence in json.loads(given)]
        found[number] = PhotoRow(
            number,
            printable(os.fsdecode(folder)),
            printable(os.fsdecode(name)),
            width,
            height,
            taken,
            state_of(state),
            tuple(surest_first(tags)),
            tuple(sorted(json.loads(own))),
            fingerprint_of(fingerprint),
        )
    return [found[number] for number in ids if number in found]
