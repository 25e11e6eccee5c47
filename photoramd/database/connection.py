"""The connection of the process that owns the database, and short ones beside it."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from photoramd.database import derived, versions
from photoramd.database.columns import printable_unless_utf8
from photoramd.database.errors import RESTORE_REMEDY, store_error, translate_errors
from photoramd.database.lock import Lock
from photoramd.errors import DamagedError, StoreError, printable
from photoramd.keywords import comparison_key
from photoramd.system.files import PRIVATE, create_private, make_private

log = logging.getLogger(__name__)

APPLICATION_ID = 0x70687264
"""The file's application id in SQLite's header: "phrd"."""

BUSY_SECONDS = 30.0
"""How long a writer waits for other connections."""


class Database:
    """The database of the process that owns it: a context manager, to be used from one thread."""

    def __init__(
        self,
        path: Path,
        *,
        busy_seconds: float = BUSY_SECONDS,
        recover: Callable[[Path, DamagedError], None] | None = None,
        progress: Callable[[float], object] = lambda _: None,
        mode: int = PRIVATE,
    ) -> None:
        """Lock, open and migrate the database.

        Args:
            path: The file; it is created if necessary.
            busy_seconds: How long to wait for other connections.
            recover: Called with the lock held if the file is damaged; then it is opened once
                more.
            progress: Called now and then while a database of an earlier version is brought up to
                date, with the part that is done, 0 to 1.
            mode: Of its files; by default nobody else may read them.

        Raises:
            LockedError: Another process owns it.
            StoreError: It cannot be used.
        """
        self.path = path
        open_ = partial(connect, path, busy_seconds=busy_seconds, progress=progress, mode=mode)
        self._lock = Lock(path)
        self._lock.acquire()
        try:
            if recover is not None and _is_empty(path):
                # Emptied, or new: without a copy to restore it counts as new.
                with suppress(DamagedError):
                    recover(path, DamagedError("the file is empty", is_ours=False, path=path))
            try:
                self._connection = open_()
            except DamagedError as error:
                if recover is None:
                    raise
                recover(path, error)
                self._connection = open_()
        except BaseException:
            self._lock.release()
            raise
        self._directories: dict[str, int] = {}
        self._labels: dict[str, int] = {}
        self._folded_at = 0

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection and release the lock."""
        self._connection.close()
        self._lock.release()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a ``with`` block in a writing transaction: all or nothing.

        Raises:
            StoreError: For any ``sqlite3.Error``.
        """
        with translate_errors(self.path):
            # A deferred transaction that begins to write fails at once if another connection
            # wrote in the meantime; an immediate one waits for its turn.
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                if self._connection.total_changes - self._folded_at > derived.MAX_CHANGES:
                    derived.fold(self._connection)
                    self._folded_at = self._connection.total_changes
                self._connection.execute("COMMIT")
            except BaseException:
                # Ids that were made in this transaction are rolled back with it.
                self._directories.clear()
                self._labels.clear()
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def probe(self) -> None:
        """Check that the database can be written, without waking its disk.

        Raises:
            StoreError: It cannot.
        """
        with self.transaction():
            pass

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a query.

        Raises:
            StoreError: For any ``sqlite3.Error``.
        """
        with translate_errors(self.path):
            return self._connection.execute(sql, parameters).fetchall()

    def file_key(self, path: Path) -> tuple[int, bytes]:
        """Return a file's directory id and name; a new directory is added.

        To be called in a transaction, as `label` is.
        """
        directory, name = os.path.split(path)
        number = self._directories.get(directory)
        if number is None:
            text = {"printable": printable_unless_utf8(directory)}
            number = self.id_of("directories", "path", os.fsencode(directory), text)
            self._directories[directory] = number
        return number, os.fsencode(name)

    def label(self, name: str) -> int:
        """Return a label's id; a new label is added."""
        number = self._labels.get(name)
        if number is None:
            folded = {"folded": comparison_key(name)}
            number = self._labels[name] = self.id_of("labels", "name", name, folded)
        return number

    def id_of(
        self, table: str, column: str, value: object, others: Mapping[str, object] | None = None
    ) -> int:
        """Return the id of the row that has a value; a new row is added.

        Args:
            table: The table, with an ``id``.
            column: A unique column of it.
            value: Its value.
            others: The values of other columns of a new row.
        """
        row = {column: value, **(others or {})}
        found = self._connection.execute(f"SELECT id FROM {table} WHERE {column} = ?", (value,))  # noqa: S608
        known = found.fetchone()
        if known is not None:
            return int(known[0])
        marks = ", ".join("?" * len(row))
        insert = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks}) RETURNING id"  # noqa: S608
        return int(self._connection.execute(insert, tuple(row.values())).fetchone()[0])


def _is_empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except OSError:
        return False


@contextmanager
def connect_beside_owner(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the database for a short write, beside the owner if that is running.

    Raises:
        StoreError: The database may not be written, cannot be used, or is a newer version's.
    """
    if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
        raise StoreError(
            "the database may not be written by this user",
            path=path,
            remedy="run this as the user of the daemon (sudo -u photoramd ...)",
        )
    with (
        translate_errors(path),
        closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as connection,
    ):
        versions.require_known(connection, path)
        yield connection


def connect(
    path: Path,
    *,
    busy_seconds: float = BUSY_SECONDS,
    progress: Callable[[float], object] = lambda _: None,
    mode: int = PRIVATE,
) -> sqlite3.Connection:
    """Open the database for writing; create or migrate it; for the arguments see `Database`.

    The connection uses a write-ahead log, ``synchronous=FULL`` and explicit transactions only.

    Raises:
        StoreError: It cannot be opened, is damaged, or is not photoramd's.
    """
    try:
        # SQLite gives its companions the mode of the database.
        with suppress(OSError):
            create_private(path, mode)
        connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None)
    except sqlite3.Error as error:
        raise store_error(path, error) from error
    try:
        with translate_errors(path):
            _set_up(connection, path, progress)
        # Now that it is known to be ours: earlier versions left these to the umask, and the
        # configuration may have changed.
        for companion in ("", "-wal", "-shm"):
            with suppress(OSError):
                make_private(f"{path}{companion}", mode)
    except BaseException:
        connection.close()
        raise
    return connection


def _set_up(
    connection: sqlite3.Connection, path: Path, progress: Callable[[float], object]
) -> None:
    """Check that the file is a sound database of photoramd, and migrate it."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application != APPLICATION_ID and (application != 0 or tables):
        raise DamagedError(
            "this file is not a photoramd database",
            is_ours=False,
            path=path,
            remedy="set [state] path to another file; this one is left as it is",
        )
    # The id comes before the tables: a process killed between the two must not leave a file
    # that the next one takes for another program's.
    if application != APPLICATION_ID:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if problem != "ok":
        raise DamagedError(
            f"the database is damaged: {problem}", is_ours=True, path=path, remedy=RESTORE_REMEDY
        )
    if not versions.is_current(connection):
        _migrate(connection, path)
    if not derived.is_made(connection):
        _make_sets(connection, path, progress)


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    # Slow to import, and seldom needed.
    from sqlite_utils import Database

    from photoramd.database.migrations import schema

    versions.require_known(connection, path)
    # All connections are alike, whether or not they began with a migration.
    schema.apply(Database(connection, recursive_triggers=False))


def _make_sets(
    connection: sqlite3.Connection, path: Path, progress: Callable[[float], object]
) -> None:
    """Make the sets of a new database, or of one of an earlier version; if interrupted, none."""

    def tell(part: float) -> None:
        log.info("%s: prepared for queries to %.0f %%", printable(path), 100 * part)
        progress(part)

    connection.execute("BEGIN IMMEDIATE")
    try:
        derived.make(connection, tell)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
