"""Read-only access to the database for processes other than its owner."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from photoramd.database.connection import APPLICATION_ID, Database
from photoramd.database.errors import translate_errors
from photoramd.errors import StoreError
from photoramd.system.container import how_to
from photoramd.system.files import require_readable
from photoramd.system.users import who_may_read

BUSY_SECONDS = 5.0
"""How long a reader waits for other connections."""


def open_readonly(path: Path) -> sqlite3.Connection:
    """Open the database for reading, whether or not a daemon writes to it.

    Close the connection soon (`contextlib.closing`).

    Raises:
        StoreError: There is no database, it may not be read, or the file is something else.
    """
    try:
        stat = require_readable(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _nothing_yet(path) from error
    except OSError as error:
        raise StoreError(
            f"cannot read the database: {error.strerror}",
            path=path,
            remedy=who_may_read(path),
        ) from error
    if stat.st_size == 0:
        raise _nothing_yet(path)
    with translate_errors(path):
        is_own = stat.st_uid == os.geteuid() and os.access(path.parent, os.W_OK)
        return _checked(path, uri_options(path, is_own))


def uri_options(path: Path, is_own: bool) -> str:
    """Return URI options that open the database without creating a file its owner cannot use.

    In WAL mode SQLite needs the files ``-wal`` and ``-shm``. The last writer removes them, and
    the next process to open the database creates them, even a reader: owned by the reader, they
    would lock the daemon out. So users other than the owner, and an owner who cannot create
    files there, only use what exists: the shared memory read-only, or without ``-wal`` the
    database file alone, which is complete then. No lock stops a writer from starting in the
    meantime; an answer may mix old and new rows if one starts and checkpoints in that moment.
    That damages nothing.
    """
    if is_own:
        return "mode=ro"
    log = path.with_name(path.name + "-wal")
    return "mode=ro&readonly_shm=1" if log.exists() else "mode=ro&immutable=1"


def _checked(path: Path, options: str) -> sqlite3.Connection:
    """Return a tested connection to a database of photoramd."""
    uri = f"file:{quote(os.fsencode(path.absolute()))}?{options}"
    # Threads may take turns with it, as those of the gallery do.
    connection = sqlite3.connect(
        uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        if application != APPLICATION_ID and (application != 0 or tables):
            raise StoreError(
                "this file is not a photoramd database",
                path=path,
                remedy="set path under [state] in the configuration to the right file",
            )
        # The daemon sets the application id first, then creates the tables in one transaction.
        if "photos" not in tables:
            raise _nothing_yet(path)
    except BaseException:
        connection.close()
        raise
    return connection


def _nothing_yet(path: Path) -> StoreError:
    return StoreError(
        "nothing has been tagged yet: there is no database",
        path=path,
        remedy=f"start the daemon ({how_to('start')}), or run photoramd scan"
        " for one pass; if the daemon runs with another configuration, name that with --config",
    )


class ReadOnlyDatabase(Database):
    """The database for commands that only ask, whether or not a daemon owns it.

    Args:
        path: The file.

    Raises:
        StoreError: See `open_readonly`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = open_readonly(path)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def fetch(
    connection: sqlite3.Connection, sql: str, parameters: Sequence[object] = ()
) -> list[tuple[Any, ...]]:
    """Return the rows of a statement.

    Raises:
        StoreError: The database cannot answer.
    """
    try:
        return connection.execute(sql, parameters).fetchall()
    except sqlite3.Error as error:
        raise StoreError(
            f"cannot read the database: {error}",
            remedy="try again; photoramd db check looks for damage, which a new start mends",
        ) from error


def has_table(connection: sqlite3.Connection, name: str) -> bool:
    """Return whether there is a table: the next start adds what an older database lacks.

    Raises:
        StoreError: The database cannot answer.
    """
    return bool(fetch(connection, "SELECT 1 FROM sqlite_master WHERE name = ?", [name]))


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Let the statements of a ``with`` block see one state of the database."""
    fetch(connection, "BEGIN")
    try:
        yield
    finally:
        connection.rollback()
