"""What is read once, kept in memory, and current whenever it is asked for."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from photoramd.database.readonly import open_readonly

if TYPE_CHECKING:
    from typing import Self


class Kept(Protocol):
    """What can be kept current."""

    def refreshed(self, connection: sqlite3.Connection) -> Self:
        """Return what the database has now; itself if nothing has changed."""


K = TypeVar("K", bound=Kept)


class Current(Generic[K]):
    """Gives a value as the database has it, to any thread.

    Args:
        database: The file.
        load: Reads the value, for the first time.
    """

    def __init__(self, database: Path, load: Callable[[sqlite3.Connection], K]) -> None:
        self._database = database
        self._load = load
        self._lock = threading.Lock()
        self._value: K | None = None
        self._file: tuple[int, int] | None = None

    def get(self) -> K:
        """Return the value.

        Raises:
            StoreError: The database cannot be read.
        """
        with self._lock:
            # Before it is opened: what takes its place in between is another file the next time.
            file = self._identity()
            with closing(open_readonly(self._database)) as connection:
                if file != self._file or self._value is None:
                    self._value, self._file = self._load(connection), file
                else:
                    self._value = self._value.refreshed(connection)
                return self._value

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = self._database.stat()
        except OSError:
            return None  # opening it says why
        return status.st_dev, status.st_ino
