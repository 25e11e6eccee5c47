"""The one writing connection to the database, and the lock that keeps it the only one.

Paths are stored as the bytes they are on disk, 64-bit unsigned numbers as signed ones.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from photoramd.errors import DamagedError, LockedError, StoreError
from photoramd.photo import Fingerprint

APPLICATION_ID = 0x70687264
"""SQLite's mark of the program a file belongs to: "phrd"."""

BUSY_SECONDS = 30.0

ASKING_SECONDS = 0.5
"""How long a lock must be held to be another instance's, not that of a question."""


class Lock:
    """An advisory lock beside the database; the kernel drops it when the process ends."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + ".lock")
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock and leave the process id in its file.

        Raises:
            LockedError: Another process holds it.
            StoreError: The lock file cannot be made.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise _unusable(self.path, error) from error
        try:
            _take(fd)
        except OSError as error:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
            os.close(fd)
            raise LockedError(
                f"another photoramd{f' (process {holder})' if holder else ''} owns this database",
                path=self.path.with_name(self.path.name.removesuffix(".lock")),
                remedy="stop it first, or leave the work to it: it finds new photos by itself, and"
                " photoramd retag PATH asks it to look at once",
            ) from error
        # The number is for people; the lock holds without it, on a full disk too.
        with suppress(OSError):
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _take(fd: int) -> None:
    """Take the lock; who only asks whether it is held (`holder`) has it for a moment."""
    deadline = time.monotonic() + ASKING_SECONDS
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def holder(database: Path) -> int | None:
    """The process id of the photoramd that owns a database now, or None."""
    path = database.with_name(database.name + ".lock")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        try:
            # A shared lock: two people who ask at once do not see each other.
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            text = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
            return int(text) if text.isdigit() else 0
        return None
    finally:
        os.close(fd)


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
        raise _unusable(path, error) from error
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
            f"the database is damaged: {problem}", is_ours=True, path=path, remedy=_START_ANEW
        )
    # Slow to import, and only writers need it.
    from sqlite_utils import Database

    from photoramd.migrations import schema

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


@contextmanager
def converted(path: Path) -> Iterator[None]:
    """Turn sqlite3's errors into ours, with what to do about them.

    Raises:
        StoreError: For any ``sqlite3.Error``.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _unusable(path, error) from error


_START_ANEW = (
    "stop photoramd, put the last copy back (photoramd db restore), or move the file and its -wal"
    " and -shm aside: photos are tagged anew, nothing in your photo directories is lost"
)


def _unusable(path: Path, error: OSError | sqlite3.Error) -> StoreError:
    reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    remedies = {
        "locked": "another program holds the database open for writing; close it and try again",
        "full": "free some space on its disk; photoramd goes on where it stopped",
        "readonly": "make the file and its directory writable for this user",
        "not a database": "set [state] path to another file; this one is left as it is",
        "malformed": _START_ANEW,
    }
    fallback = "check that [state] path is on a local disk and that this user may write there"
    remedy = next((text for key, text in remedies.items() if key in reason.lower()), fallback)
    message = f"cannot use the database: {reason}"
    # The low byte is the kind of the error, whatever its details.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        is_ours = code == sqlite3.SQLITE_CORRUPT
        return DamagedError(message, is_ours=is_ours, path=path, remedy=remedy)
    return StoreError(message, path=path, remedy=remedy)


def path_of(directory: bytes, name: bytes) -> Path:
    """The path of a photo from its two columns."""
    return Path(os.fsdecode(directory), os.fsdecode(name))


def columns(fingerprint: Fingerprint) -> tuple[int, int, int, int]:
    """A fingerprint as it is stored: size, mtime_ns, device, inode."""
    return (
        fingerprint.size,
        fingerprint.mtime_ns,
        signed(fingerprint.device),
        signed(fingerprint.inode),
    )


def fingerprint_of(columns: Sequence[int]) -> Fingerprint:
    """The inverse of `columns`."""
    size, mtime_ns, device, inode = columns
    return Fingerprint(size, mtime_ns, device % 2**64, inode % 2**64)


def signed(number: int) -> int:
    """A number as it is stored: SQLite's are signed, and some inode numbers use all 64 bits."""
    return number - 2**64 if number >= 2**63 else number
