"""Small pictures of photos, kept in a file of the cache directory that may vanish at any time.

The daemon and a gallery use it at once. A cache that is deleted, full or damaged costs only time:
trouble is logged once, and the picture is made again from the photo. What is read was proved by a
checksum to be what was kept, under this key.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from photoramd.clock import UnixTime
from photoramd.database.backups import set_aside
from photoramd.errors import PhotoramdError, printable
from photoramd.images.renditions import Rendition
from photoramd.system.files import create_private, lock_within, make_private

T = TypeVar("T")

log = logging.getLogger(__name__)

APPLICATION_ID = 0x70687274
"""The file's application id in SQLite's header: "phrt"."""

VERSION = 1
"""Of the tables, and of how pictures are made. A file of another version makes room for a new
one."""

REST_SECONDS = 60.0
"""How long nothing is kept after that has failed: photos are not to wait for it."""

_BUSY_SECONDS = 0.2
"""How long to wait for another process."""

_TOUCH_SECONDS = 3600
"""How exactly it is known when a picture was last used, so that reading seldom writes."""

_PAGE_BYTES = 8192
_MOST_LOG_BYTES = 16 << 20
"""Room in the limit for what SQLite keeps beside the file."""

_LARGEST_SHARE = 8
"""A picture that takes more than this part of the limit is not kept."""

_ROOM_BYTES = 1 << 20
"""How much room is made at once, and how many rows for it in one statement."""
_ROOM_ROWS = 16

_MOST_BYTES = 8 << 20
"""More than any picture has: a damaged length is not believed."""

_OF_DAMAGE = frozenset(
    {
        sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH,
    }
)  # fmt: skip
"""Errors of a file that is not whole. The statements here have none of their own."""

_COMPANIONS = ("", "-wal", "-shm")

_SCHEMA = (
    # The order of columns: SQLite reads no content to find the rest.
    """CREATE TABLE pictures (
        id INTEGER PRIMARY KEY,
        key BLOB NOT NULL,
        rendition TEXT NOT NULL,
        used INTEGER NOT NULL,
        checksum INTEGER NOT NULL,
        content BLOB NOT NULL,
        UNIQUE (key, rendition)
    )""",
    "CREATE INDEX pictures_used ON pictures (used)",
)


class _ForeignError(Exception):
    """The file is not one of these."""


class Thumbnails:
    """The cache of small pictures; used from any thread, and by several processes.

    Nothing is opened, or made, before it is needed. No method raises.

    Args:
        directory: Where the file is; made if it is missing.
        limit_bytes: How much it may take on the disk, with all that belongs to it.
    """

    def __init__(self, directory: Path, limit_bytes: int) -> None:
        self.path = directory / "thumbnails.db"
        self._limit_bytes = limit_bytes
        self._log_bytes = min(limit_bytes // 4, _MOST_LOG_BYTES)
        self._most_pages = (limit_bytes - self._log_bytes) // _PAGE_BYTES
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._is_in_trouble = False
        self._failed_at: UnixTime | None = None

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        with self._lock:
            self._close()

    def get(self, key: bytes, rendition: Rendition, now: UnixTime) -> bytes | None:
        """Return a picture; None if it is not kept, or cannot be read.

        Args:
            key: See `photoramd.database.picture_keys`.
            rendition: The kind of picture.
            now: The present time; it is kept longer from now on.
        """

        def find(db: sqlite3.Connection) -> bytes | None:
            found = db.execute(
                "SELECT id, used, checksum, content FROM pictures WHERE key = ? AND rendition = ?",
                (key, rendition.name),
            ).fetchone()
            if found is None:
                return None
            number, used, checksum, content = found
            is_whole = isinstance(content, bytes) and checksum == _checksum(key, rendition, content)
            with suppress(sqlite3.Error):
                if not is_whole:
                    db.execute("DELETE FROM pictures WHERE id = ?", (number,))
                elif used != _hour(now) and not self._rests(now):
                    db.execute("UPDATE pictures SET used = ? WHERE id = ?", (_hour(now), number))
            return bytes(content) if is_whole else None

        with self._lock:
            return self._attempt(find, None)

    def put(self, key: bytes, rendition: Rendition, content: bytes, now: UnixTime) -> None:
        """Keep a picture, in the place of those that were used least recently."""

        def insert(db: sqlite3.Connection) -> bool:
            db.execute("BEGIN IMMEDIATE")
            try:
                self._make_room(db, len(content))
                db.execute(
                    """INSERT INTO pictures (key, rendition, used, checksum, content)
                       VALUES (?, ?, ?, ?, ?) ON CONFLICT (key, rendition) DO UPDATE SET
                       used = excluded.used, checksum = excluded.checksum,
                       content = excluded.content""",
                    (key, rendition.name, _hour(now), _checksum(key, rendition, content), content),
                )
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            return True

        with self._lock:
            if len(content) > self._limit_bytes // _LARGEST_SHARE or self._rests(now):
                return
            is_kept = self._attempt(insert, False)
            self._failed_at = None if is_kept else now
            if is_kept:
                self._is_in_trouble = False

    def _rests(self, now: UnixTime) -> bool:
        # The clock may have been set back.
        return self._failed_at is not None and 0 <= now - self._failed_at < REST_SECONDS

    def _make_room(self, db: sqlite3.Connection, incoming_bytes: int) -> None:
        """Remove what was used least recently until there is room for so many bytes."""
        needed = incoming_bytes // _PAGE_BYTES + 8  # with what its indexes may take
        if self._free_pages(db) >= needed:
            return
        needed += min(_ROOM_BYTES // _PAGE_BYTES, self._most_pages // _LARGEST_SHARE)
        removed = 1
        while removed and self._free_pages(db) < needed:
            removed = db.execute(
                "DELETE FROM pictures WHERE id IN"
                " (SELECT id FROM pictures ORDER BY used, id LIMIT ?)",
                (_ROOM_ROWS,),
            ).rowcount

    def _free_pages(self, db: sqlite3.Connection) -> int:
        return self._most_pages - _number(db, "page_count") + _number(db, "freelist_count")

    def _attempt(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        try:
            try:
                return work(self._opened())
            except _ForeignError as error:
                self._begin_anew(str(error))
            except sqlite3.DatabaseError as error:
                if _code(error) not in _OF_DAMAGE:
                    raise
                self._begin_anew(str(error))
            return work(self._opened())
        except (sqlite3.Error, OSError, PhotoramdError, _ForeignError) as error:
            # Pictures that are kept can be read beside a full disk, or another's long writing.
            code = _code(error) if isinstance(error, sqlite3.Error) else None
            if code not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY):
                self._close()
            if not self._is_in_trouble:
                self._is_in_trouble = True
                log.warning(
                    "%s: thumbnails are not kept, but made each time: %s",
                    printable(self.path), error,
                )  # fmt: skip
            return otherwise

    def _opened(self) -> sqlite3.Connection:
        """Return the connection; made if need be, or if the file was removed or replaced."""
        if self._connection is not None and self._inode != _inode(self.path):
            self._close()
        if self._connection is None:
            self.path.parent.mkdir(0o700, parents=True, exist_ok=True)
            with _alone(self.path.parent):
                self._connection = self._connect()
                self._inode = _inode(self.path)
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _connect(self) -> sqlite3.Connection:
        if not os.path.lexists(self.path) or self._is_too_large():
            _remove(self.path)  # a log that is left behind belongs to no new file
            create_private(self.path)
        uri = f"file:{quote(os.fsencode(self.path.absolute()))}?mode=rw"
        connection = sqlite3.connect(
            uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_BYTES)
            self._set_up(connection)
            for companion in _COMPANIONS:
                make_private(f"{self.path}{companion}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        found = _number(connection, "application_id"), _number(connection, "user_version")
        if tables and found[0] != APPLICATION_ID:
            raise _ForeignError("it is not a file of photoramd's")
        if tables and found[1] != VERSION:
            raise _ForeignError(f"it is of version {found[1]}, not {VERSION}")
        if not tables:
            connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        # Where it is on, each removed page is written once more, into the log.
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute(f"PRAGMA wal_autocheckpoint = {self._log_bytes // _PAGE_BYTES // 4}")
        connection.execute(f"PRAGMA journal_size_limit = {self._log_bytes // 2}")
        connection.execute(f"PRAGMA max_page_count = {self._most_pages}")
        if not tables:
            connection.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute("COMMIT")

    def _is_too_large(self) -> bool:
        """Return whether the limit is lower than it was."""
        return self.path.stat().st_size > self._most_pages * _PAGE_BYTES and _is_ours(self.path)

    def _begin_anew(self, reason: str) -> None:
        """Remove the file, or move what may be another program's aside."""
        inode = self._inode if self._connection is not None else _inode(self.path)
        self._close()
        with _alone(self.path.parent):
            if _inode(self.path) != inode:
                return  # another process has done it
            if _is_ours(self.path):
                _remove(self.path)
                log.warning("%s: %s; it begins anew", printable(self.path), reason)
            else:
                aside = set_aside(self.path, "foreign")
                log.warning(
                    "%s: %s; it is now %s, and a new one begins",
                    printable(self.path), reason, printable(aside),
                )  # fmt: skip


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep other processes from making or removing the file meanwhile.

    Raises:
        OSError: One does so for too long.
    """
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        lock_within(fd, _BUSY_SECONDS)
        yield
    finally:
        os.close(fd)


def _is_ours(path: Path) -> bool:
    """Return whether a file is one of these, perhaps a damaged one, by SQLite's header.

    Source of the format: https://sqlite.org/fileformat.html#the_database_header.
    """
    with path.open("rb") as file:
        header = file.read(72)
    return header[:16] == b"SQLite format 3\0" and header[68:] == struct.pack(">I", APPLICATION_ID)


def _remove(path: Path) -> None:
    # A log that is left behind would go with the first use of the next file.
    for companion in reversed(_COMPANIONS):
        with suppress(FileNotFoundError):
            os.unlink(f"{path}{companion}")


def _checksum(key: bytes, rendition: Rendition, content: bytes) -> int:
    return zlib.crc32(content, zlib.crc32(key + rendition.name.encode()))


def _hour(now: UnixTime) -> int:
    return int(now // _TOUCH_SECONDS)


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0
