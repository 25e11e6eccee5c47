"""Put the state that commit 2e878b5 left behind into another directory, as if made there."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from photoramd.database.columns import path_of, signed
from tests.support.old_state.make import DATA, HERE

# Where the database names a path: table, key, column.
_PATHS = (
    ("directories", "id", "path"),
    ("photos", "id", "sidecar"),
    ("writes", "photo_id", "target"),
    ("writes", "photo_id", "temporary"),
    ("roots", "path", "path"),
    ("modes", "root", "root"),
)


def place(directory: Path) -> dict[str, Any]:
    """Copy everything to a directory that is not there yet; return what is known of it.

    A copy has other inodes, and Git keeps no times of files. Both are set to what the
    database would know had the files been found here, so that they count as unchanged.
    """
    shutil.copytree(DATA, directory)
    for path in directory.rglob("*"):  # a umask may let the group write, which weights must not
        path.chmod(0o755 if path.is_dir() else 0o644)
    config = directory / "config.toml"
    config.write_text(config.read_text().replace(os.fspath(HERE), os.fspath(directory)))
    with closing(sqlite3.connect(directory / "state/photoramd.db")) as connection, connection:
        for table, key, column in _PATHS:
            rows = connection.execute(f"SELECT {key}, {column} FROM {table}").fetchall()  # noqa: S608
            connection.executemany(
                f"UPDATE {table} SET {column} = ? WHERE {key} = ?",  # noqa: S608
                [
                    (path.replace(os.fsencode(HERE), os.fsencode(directory)), number)
                    for number, path in rows
                    if path is not None
                ],
            )
        photos = connection.execute(
            """SELECT p.id, d.path, p.name, p.mtime_ns
               FROM photos p JOIN directories d ON d.id = p.directory_id"""
        )
        for number, parent, name, mtime_ns in photos.fetchall():
            numbers = _restore(path_of(parent, name), mtime_ns)
            connection.execute(
                "UPDATE photos SET device = ?, inode = ? WHERE id = ?", (*numbers, number)
            )
        for number, target, mtime_ns in connection.execute(
            "SELECT photo_id, target, mtime_ns FROM writes"
        ).fetchall():
            numbers = _restore(Path(os.fsdecode(target)), mtime_ns)
            connection.execute(
                "UPDATE writes SET device = ?, inode = ? WHERE photo_id = ?", (*numbers, number)
            )
    facts: dict[str, Any] = json.loads((directory / "facts.json").read_text())
    return facts


def _restore(path: Path, mtime_ns: int) -> tuple[int, int]:
    """Set a file's time; return its device and inode as the database stores them."""
    os.utime(path, ns=(mtime_ns, mtime_ns))
    status = path.stat()
    return signed(status.st_dev), signed(status.st_ino)
