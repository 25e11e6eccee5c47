"""Ask the database in threads, a bounded number at a time, and never for long."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from photoramd.database.readonly import open_readonly
from photoramd.errors import PhotoramdError
from photoramd.search.sets import Sets

T = TypeVar("T")

SECONDS = 2.0
"""A question that takes longer is given up."""

_THREADS = 4

_STEPS = 10_000
"""SQLite looks at the clock after so many steps of its machine: some 0.1 ms."""


class SlowQuestionError(PhotoramdError):
    """A question took too long and was given up."""


class Reader:
    """A read-only connection with the sets that it has read. One thread at a time uses it.

    Args:
        database: The file.

    Raises:
        StoreError: The database cannot be read.
    """

    def __init__(self, database: Path) -> None:
        self.seen = identity(database)
        self.connection = open_readonly(database)
        self._ends_at: float | None = None
        self.connection.set_progress_handler(self._is_late, _STEPS)
        self.sets = Sets(self.connection)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def ask(self, question: Callable[[Reader], T], seconds: float) -> T:
        """Return the answer to a question.

        Raises:
            SlowQuestionError: It took longer than that.
            PhotoramdError: From the question.
        """
        self._ends_at = time.monotonic() + seconds
        try:
            self.sets.refresh()
            return question(self)
        except (PhotoramdError, sqlite3.Error) as error:
            if time.monotonic() > self._ends_at:
                raise SlowQuestionError(
                    f"the answer would take longer than {seconds:g} s",
                    remedy="narrow the query down, with a tag, a date or a folder",
                ) from error
            raise
        finally:
            self._ends_at = None

    def _is_late(self) -> bool:
        return self._ends_at is not None and time.monotonic() > self._ends_at


def identity(database: Path) -> tuple[int, int, int] | None:
    """Return what is another one when the file is, which must be opened again then; None: no file.

    Without a log beside it other users' databases are opened as immutable (see
    `photoramd.database.readonly.uri_options`): what a daemon writes is not seen then.
    """
    try:
        status = database.stat()
    except OSError:
        return None
    has_log = database.with_name(f"{database.name}-wal").exists()
    return status.st_dev, status.st_ino, 0 if has_log else status.st_mtime_ns


class Readers:
    """A few readers of one database, opened as they are needed and again after trouble.

    Args:
        database: The file.
        seconds: How long a question may take.
    """

    def __init__(self, database: Path, seconds: float = SECONDS) -> None:
        self._database = database
        self._seconds = seconds
        self._idle: list[Reader] = []
        self._lock = threading.Lock()
        self._limiter: CapacityLimiter | None = None

    async def ask(self, question: Callable[[Reader], T]) -> T:
        """Return the answer to a question, which a thread asks.

        Raises:
            SlowQuestionError: It took too long.
            StoreError: The database cannot be read.
            PhotoramdError: From the question.
        """
        if self._limiter is None:  # it belongs to the event loop
            self._limiter = CapacityLimiter(_THREADS)
        return await to_thread.run_sync(self.ask_here, question, limiter=self._limiter)

    def ask_here(self, question: Callable[[Reader], T]) -> T:
        """Return the answer to a question, asked in this thread; raises as `ask` does."""
        with self._lock:
            reader = self._idle.pop() if self._idle else None
        if reader is not None and reader.seen != identity(self._database):
            reader.close()
            reader = None
        if reader is None:
            reader = Reader(self._database)
        try:
            answer = reader.ask(question, self._seconds)
        except BaseException:
            # A damaged or replaced database must not stay open.
            with closing(reader):
                raise
        with self._lock:
            self._idle.append(reader)
        return answer

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for reader in idle:
            reader.close()
