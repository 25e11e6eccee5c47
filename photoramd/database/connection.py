"""The one writing connection to the database, and the lock that keeps it the only one.

Paths are stored as the bytes they are on disk, 64-bit unsigned numbers as signed ones.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from photoramd.database.errors import START_ANEW, converted, unusable
from photoramd.database.lock import Lock
from photoramd.errors import DamagedError, StoreError

APPLICATION_ID = 0x70687264
"""SQLite's mark of the program a file belongs to: "phrd"."""

BUSY_SECONDS = 30.0


class Database:
    """The database of one photoramd. Use it as a context manager, from one thread."""

    def __init__(
        self,
        path: Path,
        *,
        busy_seconds: float = BUSY_SECONDS,
        recover: Callable[[Path, DamagedError], None] | None = None,
    ) -> None:
        """Lock, open and migrate the database.

        Args:
            path: The file; it is made if it is not there.
            busy_seconds: How long to wait for other connections.
            recover: Called with the lock held if the file is damaged; afterwards it is opened
                once more.

        Raises:
            LockedError: Another process owns it.
            StoreError: It cannot be used.
        """
        self.path = path
        self._lock = Lock(path)
        self._lock.acquire()
        try:
            if recover is not None and _is_empty(path):
                # Lost, or never begun: without a copy to put back it is the latter.
                with suppress(DamagedError):
                    recover(path, DamagedError("the file is empty", is_ours=False, path=path))
            try:
                self._connection = connect(path, busy_seconds=busy_seconds)
            except DamagedError as error:
                if recover is None:
                    raise
                recover(path, error)
                self._connection = connect(path, busy_seconds=busy_seconds)
        except BaseException:
            self._lock.release()
            raise
        self._directories: dict[str, int] = {}
        self._labels: dict[str, int] = {}

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection and give the lock back."""
        self._connection.close()
        self._lock.release()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A writing transaction: all or nothing.

        Raises:
            StoreError: For any ``sqlite3.Error``.
        """
        with converted(self.path):
            # A deferred transaction that turns to writing can fail at once when another
            # connection wrote meanwhile; an immediate one waits its turn.
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # Ids made inside a transaction that did not happen mean nothing.
                self._directories.clear()
                self._labels.clear()
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def probe(self) -> None:
        """Take the right to write and give it back; the disk may sleep on.

        Raises:
            StoreError: It cannot be had.
        """
        with self.transaction():
            pass

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query.

        Raises:
            StoreError: For any ``sqlite3.Error``.
        """
        with converted(self.path):
            return self._connection.execute(sql, parameters).fetchall()

    def place(self, path: Path) -> tuple[int, bytes]:
        """A file's directory id, made if it is new, and its name; inside a transaction."""
        directory, name = os.path.split(path)
        number = self._directories.get(directory)
        if number is None:
            number = self._id_of("directories", "path", os.fsencode(directory))
            self._directories[directory] = number
        return number, os.fsencode(name)

    def label(self, name: str) -> int:
        """A label's id, made if it is new; inside a transaction."""
        number = self._labels.get(name)
        if number is None:
            number = self._labels[name] = self._id_of("labels", "name", name)
        return number

    def _id_of(self, table: str, column: str, value: object) -> int:
        insert = f"INSERT OR IGNORE INTO {table} ({column}) VALUES (?)"  # noqa: S608
        select = f"SELECT id FROM {table} WHERE {column} = ?"  # noqa: S608
        self._connection.execute(insert, (value,))
        return int(self._connection.execute(select, (value,)).fetchone()[0])


def _is_empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except OSError:
        return False


@contextmanager
def visit(path: Path) -> Iterator[sqlite3.Connection]:
    """A short visit with write access beside the owner, who may be at work.

    Raises:
        StoreError: The database may not be written, or cannot be used.
    """
    if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
        raise StoreError(
            "the database may not be written by this user",
            path=path,
            remedy="run this as the user of the daemon (sudo -u photoramd ...)",
        )
    with (
        converted(path),
        closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as connection,
    ):
        yield connection


def connect(path: Path, *, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """Open the database for writing, create or migrate it.

    Write-ahead log, ``synchronous=FULL``, explicit transactions only.

    Raises:
        StoreError: It cannot be opened, is damaged, or is not photoramd's.
    """
    try:
        connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None)
    except sqlite3.Error as error:
        raise unusable(path, error) from error
    try:
        with converted(path):
            _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Check whose the file is, set it up, bring the schema up to date."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application != APPLICATION_ID and (application != 0 or tables):
        raise DamagedError(
            "this file is not a photoramd database",
            is_ours=False,
            path=path,
            remedy="set [state] path to another file; this one is left as it is",
        )
    # The mark comes before the tables: a process that is killed between the two must not
    # leave a file that the next one takes for another program's.
    if application != APPLICATION_ID:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if problem != "ok":
        raise DamagedError(
            f"the database is damaged: {problem}", is_ours=True, path=path, remedy=START_ANEW
        )
    # Slow to import, and only writers need it.
    from sqlite_utils import Database

    from photoramd.database.migrations import schema

    database = Database(connection)
    known = {migration.name for migration in schema._migrations}
    newer = [m.name for m in schema.applied(database) if m.name not in known]
    if newer:
        raise StoreError(
            f"the database was made by a newer photoramd (it has {newer[-1]})",
            path=path,
            remedy="install that version again, or use another [state] path",
        )
    schema.apply(database)
