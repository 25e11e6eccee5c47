"""What makes pictures look alike, kept in a second database file beside the first.

It can be made again from the photos, so it is in no backup, is synced to the disk only now and
then, and whatever is wrong with it costs no photo anything: trouble is logged once, and a damaged
file or one of another version makes room for a new one.

A row is a picture: its digest, and a vector of numbers as the model gave it. Vectors of different
versions cannot be compared, so all of a file are of one. `photoramd.database.vectors` reads it.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from photoramd.database.backups import set_aside
from photoramd.errors import StoreError, printable
from photoramd.system.files import PRIVATE, create_private, make_private

T = TypeVar("T")

log = logging.getLogger(__name__)

APPLICATION_ID = 0x70687266
"""The file's application id in SQLite's header: "phrf"."""

_BUSY_SECONDS = 2.0
"""How long to wait for another process: a photo is not to wait long for this."""

_CHUNK = 20_000
"""Rows in one transaction of `prune`, which others wait for."""

_COMPANIONS = ("", "-wal", "-shm")

# Larger pages waste less, as no row is divided among two.
_SCHEMA = f"""
    PRAGMA page_size = 8192;
    PRAGMA journal_mode = WAL;
    BEGIN;
    PRAGMA application_id = {APPLICATION_ID};
    CREATE TABLE version (name TEXT NOT NULL);
    CREATE TABLE features (
        id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, vector BLOB NOT NULL
    );
"""


def features_path(database: Path) -> Path:
    """Return the file of features that belongs to a database: NAME-similar.db."""
    return database.with_name(f"{database.stem}-similar.db")


class Features:
    """The features of pictures, for the process that owns the database; for one thread.

    Nothing is opened, or made, before it is needed. No method raises: what fails is logged, once
    until something has worked again, and the features are not kept or not found.

    Args:
        path: The file: see `features_path`.
        version: Of the vectors.
        mode: Of the file; by default nobody else may read it.
    """

    def __init__(self, path: Path, version: str, mode: int = PRIVATE) -> None:
        self.path = path
        self._version = version
        self._mode = mode
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._is_in_trouble = False
        self._is_foreign = False

    def close(self) -> None:
        """Close the file; harmless if repeated."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def save(self, vectors: Mapping[bytes, bytes]) -> None:
        """Keep vectors by the digests of their pictures, in the place of earlier ones."""

        def insert(db: sqlite3.Connection) -> None:
            with _transaction(db):
                db.executemany(
                    "INSERT INTO features (digest, vector) VALUES (?, ?)"
                    " ON CONFLICT (digest) DO UPDATE SET vector = excluded.vector",
                    vectors.items(),
                )

        if vectors:
            self._attempt(insert, None)

    def lacking(self, digests: Collection[bytes]) -> set[bytes]:
        """Return the digests without a vector; none of them if that cannot be known."""

        def find(db: sqlite3.Connection) -> set[bytes]:
            one = "SELECT 1 FROM features WHERE digest = ?"
            return {each for each in digests if db.execute(one, (each,)).fetchone() is None}

        return self._attempt(find, set()) if digests else set()

    def forget(self, digests: Iterable[bytes]) -> None:
        """Remove the vectors of pictures."""

        def delete(db: sqlite3.Connection) -> None:
            with _transaction(db):
                each = ((digest,) for digest in digests)
                db.executemany("DELETE FROM features WHERE digest = ?", each)

        self._attempt(delete, None)

    def _attempt(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        if self._is_foreign:
            return otherwise
        try:
            try:
                done = work(self._opened())
            except sqlite3.DatabaseError as error:
                if not _is_damaged(error):
                    raise
                self.close()
                aside = set_aside(self.path)
                log.warning(
                    "%s: %s; it is now %s, and a new one begins: similar photos are found"
                    " among those tagged from now on",
                    printable(self.path), error, printable(aside),
                )  # fmt: skip
                done = work(self._opened())
        except (sqlite3.Error, OSError, StoreError) as error:
            self.close()
            if not self._is_in_trouble:
                self._is_in_trouble = True
                log.warning(
                    "%s: what similar photos are found by is not kept: %s",
                    printable(self.path), error,
                )  # fmt: skip
            return otherwise
        self._is_in_trouble = False
        return done

    def _opened(self) -> sqlite3.Connection:
        """Return the connection; made if need be, or if the file was removed or replaced."""
        if self._connection is not None and self._inode != _inode(self.path):
            self.close()
        if self._connection is None:
            self._connection = self._connect()
            self._inode = _inode(self.path)
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        connection = _open(self.path)
        try:
            application, tables = _kind(connection)
            if application != APPLICATION_ID and (application or tables):
                self._is_foreign = True
                raise StoreError("it is not a file of photoramd's, and is left as it is")
            if tables:
                found = connection.execute("SELECT name FROM version").fetchone()
                if found != (self._version,):
                    connection.close()
                    self._begin_anew()
                    connection = _open(self.path)
                    tables = 0
            if not tables:
                connection.executescript(_SCHEMA)
                connection.execute("INSERT INTO version VALUES (?)", (self._version,))
                connection.execute("COMMIT")
            connection.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            connection.close()
            raise
        for companion in _COMPANIONS:
            make_private(f"{self.path}{companion}", self._mode)
        return connection

    def _begin_anew(self) -> None:
        """Remove the file: what is in it was made by another version."""
        log.info("%s: of another version, and begun anew", printable(self.path))
        # A log that is left behind by a kill goes with the first use of the next, empty file.
        for companion in _COMPANIONS:
            with suppress(FileNotFoundError):
                os.unlink(f"{self.path}{companion}")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Run a ``with`` block in a writing transaction: all or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def prune_features(database: Path) -> int:
    """Remove the features of pictures that no photo of the database shows; return how many.

    The daemon may be running. The room is used again, but not given back.

    Args:
        database: The database of photos; see `features_path`.

    Raises:
        StoreError: One of the files cannot be used.
    """
    path = features_path(database)
    if not path.exists():
        return 0
    try:
        with closing(_open(path)) as connection:
            application, _ = _kind(connection)
            if application != APPLICATION_ID:
                return 0
            uri = f"file:{quote(os.fsencode(database.absolute()))}?mode=ro"
            connection.execute("ATTACH ? AS state", (uri,))
            last = connection.execute("SELECT ifnull(max(id), 0) FROM features").fetchone()[0]
            removed = 0
            for start in range(0, last, _CHUNK):
                removed += connection.execute(
                    """DELETE FROM features WHERE id > ? AND id <= ? AND NOT EXISTS (
                           SELECT 1 FROM state.results r JOIN state.photos p ON p.result_id = r.id
                           WHERE r.digest = features.digest)""",
                    (start, start + _CHUNK),
                ).rowcount
            return removed
    except (sqlite3.Error, OSError) as error:
        raise StoreError(
            f"cannot prune what similar photos are found by: {error}", path=path
        ) from (error)


def _open(path: Path) -> sqlite3.Connection:
    create_private(path)
    uri = f"file:{quote(os.fsencode(path.absolute()))}?mode=rw"
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)


def _kind(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return the application id and the number of tables and indexes."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    return int(application), int(tables)


def _is_damaged(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0
