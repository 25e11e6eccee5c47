"""Copies of the database: made while it is in use, checked, and restored when it is damaged.

A copy is written under another name and renamed, so a file with a copy's name is complete.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from photoramd.database import versions
from photoramd.database.connection import APPLICATION_ID
from photoramd.database.errors import translate_errors
from photoramd.database.lock import Lock
from photoramd.errors import DamagedError, StoreError, printable
from photoramd.system.files import create_private, make_private, open_unfollowed, sync_directory

log = logging.getLogger(__name__)


_PART = ".photoramd-part"
_COMPANIONS = ("", "-wal", "-shm")
_BESIDE = ("-wal", "-shm", "-journal", ".lock")
"""What SQLite and photoramd keep beside a database, by the ends of the names."""


def check(path: Path) -> list[str]:
    """Return what is wrong with a database file, which may be in use; empty if it is sound.

    Raises:
        StoreError: It cannot be opened.
    """
    if not path.is_file():
        raise StoreError(
            "there is no such file",
            path=path,
            remedy="is its name right? If there is no database yet, photoramd scan makes one",
        )
    try:
        with closing(_open(path)) as connection:
            if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                return ["this file is not a photoramd database"]
            found = [row[0] for row in connection.execute("PRAGMA integrity_check(20)")]
            found += [
                f"a row of {row[0]} refers to nothing in {row[2]}"
                for row in connection.execute("PRAGMA foreign_key_check").fetchmany(20)
            ]
    except sqlite3.OperationalError as error:
        with translate_errors(path):
            raise error
    except sqlite3.DatabaseError as error:
        return [str(error)]
    return [text for text in found if text != "ok"]


def require_known(path: Path) -> None:
    """Require that no newer version has changed a database.

    Raises:
        StoreError: One has, or it cannot be opened.
    """
    with translate_errors(path), closing(_open(path)) as connection:
        versions.require_known(connection, path)


def copy(source: Path, target: Path) -> None:
    """Copy a database that may be in use.

    It is copied in one step, which sees one state of the database and blocks nobody; in several
    steps, the copy would start over after every write of the daemon.

    Raises:
        StoreError: One of the files cannot be used.
    """
    part = target.with_name(target.name + _PART)
    if os.path.lexists(part) and not is_ours(part):
        raise StoreError("is in the way of a copy", path=part, remedy="move it elsewhere")
    try:
        create_private(part)
        make_private(part)  # left behind by an earlier version
        with (
            translate_errors(source),
            closing(_open(source)) as reader,
            translate_errors(part),
            closing(sqlite3.connect(part)) as writer,
        ):
            reader.backup(writer)
            # One file: a copy is kept without a -wal beside it.
            writer.execute("PRAGMA journal_mode = DELETE")
        _publish(part, target)
    except OSError as error:
        raise StoreError(f"cannot copy the database: {error.strerror}", path=target) from error
    finally:
        with suppress(OSError):
            part.unlink()


def require_replaceable(target: Path, database: Path, features: Path) -> None:
    """Require that a copy may be made at a path: it is free, an empty file or another copy.

    Args:
        target: The path.
        database: The database.
        features: The file of features that belongs to it.

    Raises:
        StoreError: It is the database itself, or a file that belongs to it, or not photoramd's.
    """
    if _is_same(target, database):
        raise StoreError("is the database itself", path=target, remedy=_ANOTHER_NAME)
    owned = {features, *(Path(f"{each}{end}") for each in (database, features) for end in _BESIDE)}
    if os.path.realpath(target) in map(os.path.realpath, owned):
        raise StoreError("belongs to the database", path=target, remedy=_ANOTHER_NAME)
    if os.path.lexists(target) and not is_ours(target):
        raise StoreError(
            "is there, and is no copy of a photoramd database", path=target, remedy=_ANOTHER_NAME
        )


_ANOTHER_NAME = "give the copy another name"


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def is_ours(path: Path) -> bool:
    """Return whether a file is a photoramd database, perhaps a damaged one, or empty.

    Source of the format: https://sqlite.org/fileformat.html#the_database_header.
    """
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            header = file.read(72)
    except OSError:
        return False
    application = APPLICATION_ID.to_bytes(4, "big")
    return not header or (header[:16] == b"SQLite format 3\0" and header[68:] == application)


def copies(database: Path) -> list[Path]:
    """Return the automatic copies of a database, the newest first."""
    prefix = f"{database.name}.backup-"
    try:
        names = os.listdir(database.parent)
    except OSError:
        return []
    found = [name for name in names if name.startswith(prefix) and not name.endswith(_PART)]
    return [database.with_name(name) for name in sorted(found, reverse=True)]


def is_sound(path: Path) -> bool:
    """Return whether a file is a complete photoramd database."""
    try:
        return path.stat().st_size > 0 and not check(path)
    except (StoreError, OSError):
        return False


def recover(database: Path, error: DamagedError) -> None:
    """Move a damaged database aside and put the newest sound copy in its place, if any.

    The caller holds the lock. A file that may be another program's stays where it is, unless
    copies beside it prove that it replaced a database of photoramd's.

    Args:
        database: The file.
        error: What is wrong with it.

    Raises:
        DamagedError: It stays where it is: ``error`` itself.
        StoreError: The files cannot be moved.
    """
    source = next((each for each in copies(database) if is_sound(each)), None)
    if source is None and not error.is_ours:
        raise error
    if source is None:
        aside = set_aside(database)
        log.error(
            "%s: %s; it is now %s, and a new one begins: there was no copy of it",
            printable(database), error.message, printable(aside),
        )  # fmt: skip
        return
    aside = _put_back(source, database) or database
    log.error(
        "%s: %s; it is now %s, and the copy %s is in its place",
        printable(database), error.message, printable(aside), printable(source),
    )  # fmt: skip


def restore(source: Path, database: Path) -> Path | None:
    """Put a copy in the place of the database; return where that is now, if there was one.

    Raises:
        LockedError: Another process owns the database.
        StoreError: The copy is not sound, or a newer version's, or a file cannot be moved.
    """
    if _is_same(source, database):
        raise StoreError("is the database itself", path=source, remedy="name a copy of it")
    problems = check(source)
    if problems:
        raise StoreError(
            f"cannot be restored: {problems[0]}", path=source, remedy="choose another copy"
        )
    require_known(source)
    lock = Lock(database)
    lock.acquire()
    try:
        return _put_back(source, database)
    finally:
        lock.release()


def set_aside(database: Path, why: str = "damaged") -> Path:
    """Rename a database, its -wal and its -shm; return the new name of the database.

    Args:
        database: The file.
        why: A word for the new name.

    Raises:
        StoreError: They cannot be renamed.
    """
    aside = _free_name(database.with_name(f"{database.name}.{why}-{_stamp()}"))
    try:
        # The log first: beside a restored copy, SQLite would take the old log for its own.
        for companion in reversed(_COMPANIONS):
            with suppress(FileNotFoundError):
                os.rename(f"{database}{companion}", f"{aside}{companion}")
    except OSError as error:
        raise StoreError(f"cannot be moved aside: {error.strerror}", path=database) from error
    return aside


def _put_back(source: Path, database: Path) -> Path | None:
    """Put a copy in place; return where the database is now, if there was one.

    The copy is complete before anything is moved, so a full disk leaves the old database.
    """
    part = database.with_name(database.name + _PART)
    try:
        copy(source, part)  # with the -wal of a database that was set aside
        _mark_all_stale(part)
        is_any = any(os.path.lexists(f"{database}{companion}") for companion in _COMPANIONS)
        why = "replaced" if is_sound(database) else "damaged"
        aside = set_aside(database, why) if is_any else None
        _publish(part, database)
        return aside
    except OSError as error:
        raise StoreError(f"cannot be restored: {error.strerror}", path=source) from error
    finally:
        with suppress(OSError):
            part.unlink()


def _mark_all_stale(part: Path) -> None:
    """Have all keywords chosen and all files read again: they may be newer than the copy.

    That needs no inference and writes no file that is right; but the ledger regains the entries
    that the provenance records in files prove.
    """
    with translate_errors(part), closing(sqlite3.connect(part)) as connection, connection:
        columns = {row[1] for row in connection.execute("PRAGMA table_info(photos)")}
        if "settings" in columns:  # not in copies of the first version
            connection.execute("UPDATE photos SET settings = '' WHERE settings IS NOT NULL")


def _publish(part: Path, target: Path) -> None:
    """Give a complete file its name so that it survives a power cut."""
    fd = open_unfollowed(part)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(part, target)
    sync_directory(target.parent)


def _open(path: Path) -> sqlite3.Connection:
    """Return a read-only connection; a file without a -wal is opened as immutable."""
    options = "mode=ro" if Path(f"{path}-wal").exists() else "mode=ro&immutable=1"
    uri = f"file:{quote(os.fsencode(path.absolute()))}?{options}"
    return sqlite3.connect(uri, uri=True, timeout=30, check_same_thread=False)


def new_name(database: Path) -> Path:
    """Return a name for an automatic copy made now, which `copies` finds."""
    return database.with_name(f"{database.name}.backup-{_stamp()}")


def _stamp() -> str:
    return datetime.now().strftime("%Y%m%d-%H%M%S")


def _free_name(path: Path) -> Path:
    found, number = path, 1
    while os.path.lexists(found):
        number += 1
        found = path.with_name(f"{path.name}-{number}")
    return found
