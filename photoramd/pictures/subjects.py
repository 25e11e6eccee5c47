"""The photos of the database as pictures are made of them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from photoramd.database.picture_keys import key_of_file, key_of_picture
from photoramd.database.readonly import fetch
from photoramd.photo import Fingerprint


@dataclass(frozen=True, slots=True)
class Subject:
    """A photo.

    Attributes:
        path: Its file.
        fingerprint: What the database knows the file by.
        key: What its pictures are kept by.
    """

    path: Path
    fingerprint: Fingerprint
    key: bytes


def is_watched(path: Path, roots: Iterable[Path]) -> bool:
    """Return whether a photo is in one of the watched directories, which have no links in them."""
    return ".." not in path.parts and any(path.is_relative_to(root) for root in roots)


def find_subject(connection: sqlite3.Connection, photo_id: int) -> Subject | None:
    """Return a photo; None if there is none of that number.

    Args:
        connection: From `open_readonly`.
        photo_id: Its number.

    Raises:
        StoreError: The database cannot answer.
    """
    # What a photo showed before it changed is not what it shows now.
    rows = fetch(
        connection,
        """SELECT d.path, p.name, p.size, p.mtime_ns, p.device, p.inode,
                  r.digest, l.width, l.height
           FROM photos p JOIN directories d ON d.id = p.directory_id
           LEFT JOIN results r ON r.id = p.result_id AND p.state IN ('tagged', 'written')
           LEFT JOIN looks l ON l.photo_id = p.id
           WHERE p.id = ?""",
        (photo_id,),
    )
    if not rows:
        return None
    directory, name, size, mtime_ns, device, inode, digest, width, height = rows[0]
    fingerprint = Fingerprint(size, mtime_ns, device, inode)
    is_seen = digest is not None and width is not None
    key = key_of_picture(digest, width, height) if is_seen else key_of_file(fingerprint)
    return Subject(Path(os.fsdecode(directory), os.fsdecode(name)), fingerprint, key)
